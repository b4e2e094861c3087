"""Calls of every kernel, sizes and edges: what each implementation of them must agree on.

Runs in MicroPython too. A case is the name of a kernel and its arguments: ints, bytearrays of
tokens and array('f')s, which begin as the kernel may find them: what it only writes is NaN.
"""

from array import array

from ugpt import ops

from tests.support.micropython.arrays import NAN

VOCAB_SIZE = 27
BLOCK_SIZE = 16
EDGES = (0.0, 1e-40, 1e-20, 1e-3, 30.0, 1e15)  # 1e-40 is a denormal
SHAPES = ((48, 16), (16, 16), (64, 16), (16, 64), (27, 16))  # the model's n_out, n_in
ODD_SHAPES = ((1, 1), (2, 3), (3, 2), (5, 7), (9, 4))
HEADS = ((4, 4), (1, 1), (2, 3), (3, 8))
# How a backend's constants are written among the arguments: they are its own.
CONSTANTS = "constants"

# What a result may be off: of the largest; and of denormals, some of their spacings of 1.4e-45,
# which Adam multiplies with lr / eps. Where Python's floats are single ones the portable Adam's
# numerator is a denormal too, off by a spacing, and its denominator is 1e-9 at the first step.
RELATIVE = 1e-5
ABSOLUTE = 1e-43
SINGLE = 1.0 + 1e-10 == 1.0
ABSOLUTE_ADAM = 1.4e-45 / 1e-9 if SINGLE else 1e-43 * 0.01 / 1e-8


def tolerance(name, expected):
    """Return by how much a result of kernel `name` may differ from `expected`."""
    absolute = ABSOLUTE_ADAM if name == "adam" else ABSOLUTE
    return absolute + RELATIVE * max((abs(v) for v in expected if v == v), default=0.0)


_state = 1


def noise(count, scale=1.0):
    """Return `count` numbers between -scale and scale."""
    global _state
    values = array("f", bytes(4 * count))
    for i in range(count):
        _state = (_state * 1103515245 + 12345) & 0x7FFFFFFF
        values[i] = scale * (_state / 0x40000000 - 1.0)
    return values


def unset(count):
    return array("f", (NAN for _ in range(count)))


def tokens(count, vocab_size=VOCAB_SIZE):
    """Return `count` tokens, some of them more than once."""
    return bytearray(i * i * 5 % vocab_size for i in range(count))


def cases():
    """Yield (name, arguments) for every kernel: the same ones in each call."""
    global _state
    _state = 1
    for n in range(1, BLOCK_SIZE + 1):
        yield from embedding_cases(n, 16)
        yield from norm_cases(n, 16, 1.0)
        yield from matrix_cases(n, *SHAPES[n % len(SHAPES)], 1.0)
        yield from attention_cases(n, 4, 4, 1.0)
        yield from cross_entropy_cases(n, VOCAB_SIZE, 3.0)
        yield from element_cases(n * 16, 1.0)
    for shape in SHAPES + ODD_SHAPES:
        yield from matrix_cases(8, *shape, 1.0)
        yield from matrix_cases(5, *shape, 1.0)
    for n_head, head_dim in HEADS:
        yield from attention_cases(7, n_head, head_dim, 1.0)
    for width in (1, 5, 64):
        yield from embedding_cases(3, width)
        yield from norm_cases(3, width, 1.0)
        yield from cross_entropy_cases(3, width + 1, 3.0)
        yield from softmax_cases(width, 3.0)
        yield from adam_cases(width, 1.0)
    for scale in EDGES:
        yield from norm_cases(4, 16, scale)
        yield from matrix_cases(4, 16, 16, scale)
        yield from cross_entropy_cases(4, VOCAB_SIZE, scale)
        yield from element_cases(16, scale)
        yield from softmax_cases(VOCAB_SIZE, scale)
        yield from adam_cases(20, scale)
        if scale < 1e6:  # or the scores of attention overflow, in every implementation
            yield from attention_cases(4, 4, 4, scale)
    # Sizes of other models: width 24 with 3 heads, few and many tokens, a long block.
    for n, n_out, n_in in ((7, 72, 24), (4, 24, 96), (5, 255, 16), (3, 2, 16), (33, 60, 24)):
        yield from matrix_cases(n, n_out, n_in, 1.0)
    for vocab_size in (2, 60, 255):
        yield from cross_entropy_cases(3, vocab_size, 3.0)
        yield from softmax_cases(vocab_size, 3.0)
    yield from attention_cases(24, 3, 8, 1.0)


def embedding_cases(n, width):
    size = n * width
    wte = noise(VOCAB_SIZE * width)
    wpe = noise(BLOCK_SIZE * width)
    yield "embed", (unset(size), wte, wpe, tokens(n), n, width)
    dx = noise(size)
    for first, rows in ((0, VOCAB_SIZE), (3, 7), (VOCAB_SIZE - 1, 1)):
        dwte = array("f", [0.5] * (rows * width))
        yield "embed_backward", (dwte, dx, tokens(n), n, width, first, rows)


def norm_cases(n, width, scale):
    size = n * width
    x = noise(size, scale)
    yield "rmsnorm", (unset(size), unset(n), x, n, width, CONSTANTS)
    dy = noise(size)
    y = noise(size)
    yield "rmsnorm_backward", (unset(size), dy, y, noise(n, 3.0), n, width, CONSTANTS)
    yield "rmsnorm_backward", (dy, dy, y, noise(n, scale), n, width, CONSTANTS)


def matrix_cases(n, n_out, n_in, scale):
    w = noise(n_out * n_in)
    yield "linear", (unset(n * n_out), w, noise(n * n_in, scale), n, n_out, n_in)
    dy = noise(n * n_out, scale)
    yield "linear_backward_x", (unset(n * n_in), w, dy, n, n_out, n_in)
    x = noise(n * n_in)
    for first, rows in ((0, n_out), (n_out // 2, n_out - n_out // 2)):
        yield "linear_backward_w", (unset(rows * n_in), dy, x, n, n_out, n_in, first, rows)


def element_cases(count, scale):
    a = noise(count, scale)
    yield "add", (unset(count), a, noise(count), count)
    yield "add", (a, a, noise(count), count)
    yield "clear", (unset(count), 0, count)
    yield "clear", (array("f", [0.5] * count), count // 3, count // 2)
    y = noise(count, scale)
    y[0] = -0.0
    yield "relu", (y, count)
    yield "relu_backward", (noise(count), array("f", (max(v, 0.0) for v in y)), count)


def attention_cases(n, n_head, head_dim, scale):
    width = n_head * head_dim
    qkv = noise(3 * n * width, scale)
    for first in (0, n - 1):
        out = unset((n - first) * width)
        p = unset(n_head * n * n)
        yield "attention", (out, p, qkv, first, n, n_head, head_dim, CONSTANTS)
    out = unset(n * width)
    p = unset(n_head * n * n)
    c = ops.view(ops.CONSTANTS, 0, len(ops.CONSTANTS))
    ops.attention(out, p, qkv, 0, n, n_head, head_dim, c)
    dqkv = unset(3 * n * width)
    dout = noise(n * width)
    yield "attention_backward", (dqkv, dout, out, p, qkv, n, n_head, head_dim, CONSTANTS)


def cross_entropy_cases(n, vocab_size, scale):
    logits = noise(n * vocab_size, scale)
    yield "cross_entropy", (logits, unset(1), tokens(n, vocab_size), n, vocab_size, CONSTANTS)


def softmax_cases(count, scale):
    for factor in (0.01, 1.0, 100.0):
        factor = array("f", (factor,))
        yield "softmax", (unset(count), noise(count, scale), factor, count, CONSTANTS)


def adam_cases(count, scale):
    for step, v_scale in ((0, 0.0), (0, scale), (999, scale)):
        v = noise(count, v_scale)
        for i in range(count):
            v[i] = v[i] * v[i]
        power1 = 0.85 ** (step + 1)
        power2 = 0.99 ** (step + 1)
        k = array("f", (0.85, 0.15, 0.99, 0.01, 0.01, power1, power2, 1e-8))
        m = noise(count, v_scale)
        yield "adam", (array("f", bytes(4 * count)), noise(count, scale), m, v, count, k, CONSTANTS)
