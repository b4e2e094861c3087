"""Each kernel against its formula, on buffers full of NaN: nothing stale may be read."""

from math import exp, log, sqrt

from ugpt import ops
from ugpt.ops import view

from tests.support.micropython.arrays import NAN, close, floats, noise, unset

CONSTANTS = view(ops.CONSTANTS, 0, len(ops.CONSTANTS))
SIZES = ((1, 1, 1), (1, 27, 16), (3, 5, 7), (4, 8, 2), (8, 27, 16), (16, 64, 16), (5, 16, 64))


def test_embed_and_back():
    n, width, vocab_size = 4, 3, 5
    wte = noise(vocab_size * width, 1)
    wpe = noise(n * width, 2)
    tokens = bytearray((0, 3, 1, 3))
    x = unset(n * width)
    ops.embed(x, wte, wpe, tokens, n, width)
    for t in range(n):
        for j in range(width):
            assert abs(x[t * width + j] - wte[tokens[t] * width + j] - wpe[t * width + j]) < 1e-6
    dx = noise(n * width, 3)
    dwte = noise(vocab_size * width, 4)
    expected = list(dwte)
    for first, rows in ((0, 2), (2, 3)):
        part = view(dwte, first * width, rows * width)
        ops.embed_backward(part, dx, tokens, n, width, first, rows)
    for t in range(n):
        for j in range(width):
            expected[tokens[t] * width + j] += dx[t * width + j]
    assert close(dwte, expected)


def test_rmsnorm():
    for n, width in ((1, 1), (3, 5), (8, 16)):
        x = noise(n * width, 4, 3.0)
        y = unset(n * width)
        scale = unset(n)
        ops.rmsnorm(y, scale, x, n, width, CONSTANTS)
        for t in range(n):
            row = x[t * width : (t + 1) * width]
            factor = 1 / sqrt(sum(v * v for v in row) / width + 1e-5)
            assert abs(scale[t] - factor) < 1e-6 * factor
            assert close(y[t * width : (t + 1) * width], [v * factor for v in row])


def test_rmsnorm_of_zeros_is_zero():
    y = unset(4)
    ops.rmsnorm(y, unset(1), floats([0.0] * 4), 1, 4, CONSTANTS)
    assert list(y) == [0.0] * 4


def test_rmsnorm_backward_is_the_slope():
    n, width, h = 2, 5, 1e-2
    x = noise(n * width, 5)
    dy = noise(n * width, 6)
    y = unset(n * width)
    scale = unset(n)

    def total():
        ops.rmsnorm(y, scale, x, n, width, CONSTANTS)
        return sum(a * b for a, b in zip(y, dy))

    slopes = []
    for i in range(n * width):
        value = x[i]
        x[i] = value + h
        above = total()
        x[i] = value - h
        slopes.append((above - total()) / (2 * h))
        x[i] = value
    total()
    dx = unset(n * width)
    ops.rmsnorm_backward(dx, dy, y, scale, n, width, CONSTANTS)
    assert close(dx, slopes, 1e-3)
    ops.rmsnorm_backward(dy, dy, y, scale, n, width, CONSTANTS)  # in place
    assert list(dy) == list(dx)


def test_linear():
    for n, n_out, n_in in SIZES:
        w = noise(n_out * n_in, 7)
        x = noise(n * n_in, 8)
        y = unset(n * n_out)
        ops.linear(y, w, x, n, n_out, n_in)
        expected = floats(
            sum(w[o * n_in + i] * x[t * n_in + i] for i in range(n_in))
            for t in range(n)
            for o in range(n_out)
        )
        assert close(y, expected)


def test_linear_backward_x():
    for n, n_out, n_in in SIZES:
        w = noise(n_out * n_in, 9)
        dy = noise(n * n_out, 10)
        dx = unset(n * n_in)
        ops.linear_backward_x(dx, w, dy, n, n_out, n_in)
        expected = floats(
            sum(w[o * n_in + i] * dy[t * n_out + o] for o in range(n_out))
            for t in range(n)
            for i in range(n_in)
        )
        assert close(dx, expected)


def test_linear_backward_w():
    for n, n_out, n_in in SIZES:
        dy = noise(n * n_out, 11)
        x = noise(n * n_in, 12)
        dw = unset(n_out * n_in)
        for first, rows in ((0, n_out // 2), (n_out // 2, n_out - n_out // 2)):
            part = view(dw, first * n_in, rows * n_in)
            ops.linear_backward_w(part, dy, x, n, n_out, n_in, first, rows)
        expected = floats(
            sum(dy[t * n_out + o] * x[t * n_in + i] for t in range(n))
            for o in range(n_out)
            for i in range(n_in)
        )
        assert close(dw, expected)


def test_clear():
    x = unset(4)
    ops.clear(x, 1, 3)
    assert list(x[1:3]) == [0.0, 0.0]
    assert x[0] != x[0] and x[3] != x[3]


def test_add_and_relu():
    a = floats([1.0, -2.0, 3.0])
    ops.add(a, a, floats([0.5, 0.5, 0.5]), 3)
    assert list(a) == [1.5, -1.5, 3.5]
    y = floats([-1.0, 0.0, 2.0])
    ops.relu(y, 3)
    assert list(y) == [0.0, 0.0, 2.0]
    dx = floats([5.0, 6.0, 7.0])
    ops.relu_backward(dx, y, 3)
    assert list(dx) == [0.0, 0.0, 7.0]


def attention_of(qkv, n, n_head, head_dim):
    """Return the output of causal attention, straight from its definition."""
    width = n_head * head_dim
    out = []
    for t in range(n):
        for head in range(n_head):
            query = t * 3 * width + head * head_dim
            scores = []
            for s in range(t + 1):
                key = s * 3 * width + width + head * head_dim
                products = (qkv[query + j] * qkv[key + j] for j in range(head_dim))
                scores.append(exp(sum(products) / sqrt(head_dim)))
            for j in range(head_dim):
                value = 2 * width + head * head_dim + j
                mixed = sum(scores[s] * qkv[s * 3 * width + value] for s in range(t + 1))
                out.append(mixed / sum(scores))
    return out


def test_attention_whole_and_position_by_position():
    for n, n_head, head_dim in ((1, 1, 1), (3, 2, 5), (8, 4, 4)):
        width = n_head * head_dim
        qkv = noise(n * 3 * width, 13)
        expected = attention_of(qkv, n, n_head, head_dim)
        out = unset(n * width)
        ops.attention(out, unset(n_head * n * n), qkv, 0, n, n_head, head_dim, CONSTANTS)
        assert close(out, expected)
        for t in range(n):
            one = unset(width)
            p = unset(n_head * (t + 1) * (t + 1))
            ops.attention(one, p, qkv, t, t + 1, n_head, head_dim, CONSTANTS)
            assert list(one) == list(out[t * width : (t + 1) * width])


def test_attention_does_not_overflow():
    qkv = floats([300.0, 300.0, 1.0] + [300.0, -300.0, 2.0])
    out = unset(2)
    ops.attention(out, unset(4), qkv, 0, 2, 1, 1, CONSTANTS)
    assert close(out, [1.0, 1.0])


def test_attention_backward_is_the_slope():
    h = 1e-2
    for n, n_head, head_dim in ((1, 1, 2), (4, 2, 3)):
        width = n_head * head_dim
        qkv = noise(n * 3 * width, 14)
        dout = noise(n * width, 15)
        out = unset(n * width)
        p = unset(n_head * n * n)
        ops.attention(out, p, qkv, 0, n, n_head, head_dim, CONSTANTS)
        dqkv = unset(n * 3 * width)
        ops.attention_backward(dqkv, dout, out, p, qkv, n, n_head, head_dim, CONSTANTS)
        slopes = []
        for i in range(n * 3 * width):
            sides = []
            for step in (h, -h):
                moved = list(qkv)
                moved[i] += step
                moved_out = attention_of(moved, n, n_head, head_dim)
                sides.append(sum(a * b for a, b in zip(moved_out, dout)))
            slopes.append((sides[0] - sides[1]) / (2 * h))
        assert close(dqkv, slopes, 1e-3)


def test_cross_entropy():
    n, vocab_size = 3, 5
    logits = noise(n * vocab_size, 16, 2.0)
    targets = bytearray((4, 0, 2))
    before = list(logits)
    loss = unset(1)
    ops.cross_entropy(logits, loss, targets, n, vocab_size, CONSTANTS)
    mean = 0.0
    for t in range(n):
        weights = [exp(v) for v in before[t * vocab_size : (t + 1) * vocab_size]]
        p = [weight / sum(weights) for weight in weights]
        mean -= log(p[targets[t]]) / n
        gradient = [(p[v] - (v == targets[t])) / n for v in range(vocab_size)]
        assert close(logits[t * vocab_size : (t + 1) * vocab_size], gradient)
    assert abs(loss[0] - mean) < 1e-6


def test_cross_entropy_of_far_logits_is_finite():
    logits = floats([500.0, -500.0])
    loss = unset(1)
    ops.cross_entropy(logits, loss, bytearray((1,)), 1, 2, CONSTANTS)
    assert loss[0] == 1000.0
    assert list(logits) == [1.0, -1.0]


def test_softmax():
    x = floats([1000.0, 999.0, -1000.0])
    p = unset(3)
    ops.softmax(p, x, floats([0.5]), 3, CONSTANTS)
    odds = exp(-0.5)
    assert close(p, [1 / (1 + odds), odds / (1 + odds), 0.0])


def test_view_is_a_window():
    buffer = floats([1.0, 2.0, 3.0, 4.0])
    window = view(buffer, 1, 2)
    window[0] = 9.0
    assert list(buffer) == [1.0, 9.0, 3.0, 4.0]
    assert len(window) == 2


def test_nan_is_seen():
    # The other tests rely on it: a NaN that was read must not pass `close`.
    assert not close([NAN], [1.0])
