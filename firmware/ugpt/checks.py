"""The checks of `ugpt.selftest`: whether this board can train, and whether it computes correctly.

The expected results come from the computer's scalar engine, by way of
tools/microgpt_board/proof/answers.py. Inputs are multiples of 2**-23 from `Rng`, which have the
same bits on every machine.
"""

import gc
from array import array
from binascii import a2b_base64

from . import answers, board
from .adam import BETA1, BETA2, EPS
from .dataset import DatasetError, open_dataset
from .report import remark
from .rng import Rng
from .tokenizer import Tokenizer

KERNEL_TOLERANCE = 1e-5  # relative to the largest value of a result
GRADIENT_TOLERANCE = 1e-4  # relative to the largest gradient of a matrix
SUM_TOLERANCE = 1e-5  # relative to the sum of the absolute values of a matrix's gradients
LOSS_TOLERANCE = 0.005
RNG_TOLERANCE = 1e-5

# The sizes in the checks of kernels: some are multiples of 4, some are not.
N, WIDTH, OUT, HEADS, VOCAB, COUNT = 5, 6, 9, 2, 7, 8
CUT = 4  # where the gradient of a matrix is cut into two blocks of rows
TOKENS = (0, 3, 6, 3, 1, 2)
SEED = 42
DOCUMENT = "maryalexandrina"  # with BOS it fills the block
GRADIENT_STRIDE = 7
DOCUMENTS = (
    "emma", "olivia", "ava", "isabella", "sophia", "mia", "charlotte",
    "amelia", "evelyn", "abigail", "liam", "noah", "william", "james",
    "logan", "benjamin", "mason", "elijah", "oliver", "jacob",
)  # fmt: skip
LR = 0.01


def signed(count, seed):
    """Return array('f') of `count` numbers in [-1, 1)."""
    rng = Rng(seed)
    return array("f", (2.0 * rng.uniform() - 1.0 for _ in range(count)))


class Kernels:
    """A method for each kernel: it calls the kernel on fixed inputs and returns the results.

    `given` and `room` return an array and its handle: the inputs of a kernel, and NaN for outputs.
    """

    def __init__(self, kernels):
        self.k = kernels
        self.c = self.handle(kernels.CONSTANTS)

    def handle(self, buffer, offset=0):
        return self.k.view(buffer, offset, len(buffer) - offset)

    def given(self, count, seed):
        values = signed(count, seed)
        return values, self.handle(values)

    def room(self, count):
        values = array("f", (float("nan") for _ in range(count)))
        return values, self.handle(values)

    def embed(self):
        wte, wte_h = self.given(VOCAB * WIDTH, 1)
        wpe, wpe_h = self.given(N * WIDTH, 2)
        tokens = bytearray(TOKENS)
        x, x_h = self.room(N * WIDTH)
        self.k.embed(x_h, wte_h, wpe_h, self.handle(tokens), N, WIDTH)
        return (x,)

    def embed_backward(self):
        dx, dx_h = self.given(N * WIDTH, 3)
        tokens = bytearray(TOKENS)
        dwte = array("f", bytes(4 * VOCAB * WIDTH))
        for first, rows in ((0, CUT), (CUT, VOCAB - CUT)):
            part = self.handle(dwte, first * WIDTH)
            self.k.embed_backward(part, dx_h, self.handle(tokens), N, WIDTH, first, rows)
        return (dwte,)

    def rmsnorm(self):
        x, x_h = self.given(N * WIDTH, 4)
        y, y_h = self.room(N * WIDTH)
        scale, scale_h = self.room(N)
        self.k.rmsnorm(y_h, scale_h, x_h, N, WIDTH, self.c)
        return y, scale

    def rmsnorm_backward(self):
        y, scale = self.rmsnorm()
        dy, dy_h = self.given(N * WIDTH, 5)
        dx, dx_h = self.room(N * WIDTH)
        self.k.rmsnorm_backward(dx_h, dy_h, self.handle(y), self.handle(scale), N, WIDTH, self.c)
        return (dx,)

    def linear(self):
        w, w_h = self.given(OUT * WIDTH, 6)
        x, x_h = self.given(N * WIDTH, 7)
        y, y_h = self.room(N * OUT)
        self.k.linear(y_h, w_h, x_h, N, OUT, WIDTH)
        return (y,)

    def linear_backward_x(self):
        w, w_h = self.given(OUT * WIDTH, 6)
        dy, dy_h = self.given(N * OUT, 8)
        dx, dx_h = self.room(N * WIDTH)
        self.k.linear_backward_x(dx_h, w_h, dy_h, N, OUT, WIDTH)
        return (dx,)

    def linear_backward_w(self):
        x, x_h = self.given(N * WIDTH, 7)
        dy, dy_h = self.given(N * OUT, 8)
        dw, _ = self.room(OUT * WIDTH)
        for first, rows in ((0, CUT), (CUT, OUT - CUT)):
            part = self.handle(dw, first * WIDTH)
            self.k.linear_backward_w(part, dy_h, x_h, N, OUT, WIDTH, first, rows)
        return (dw,)

    def clear(self):
        x, x_h = self.given(COUNT, 9)
        self.k.clear(x_h, 1, COUNT - 1)
        return (x,)

    def add(self):
        a, a_h = self.given(COUNT, 9)
        b, b_h = self.given(COUNT, 10)
        self.k.add(a_h, a_h, b_h, COUNT)
        return (a,)

    def relu(self):
        x, x_h = self.given(COUNT, 11)
        self.k.relu(x_h, COUNT)
        return (x,)

    def relu_backward(self):
        (y,) = self.relu()
        dx, dx_h = self.given(COUNT, 12)
        self.k.relu_backward(dx_h, self.handle(y), COUNT)
        return (dx,)

    def _attention(self):
        self.qkv, self.qkv_h = self.given(3 * N * WIDTH, 13)
        self.p, self.p_h = self.room(HEADS * N * N)
        self.out, self.out_h = self.room(N * WIDTH)
        self.k.attention(self.out_h, self.p_h, self.qkv_h, 0, N, HEADS, WIDTH // HEADS, self.c)

    def attention(self):
        self._attention()
        return (self.out,)

    def attention_backward(self):
        self._attention()
        dout, dout_h = self.given(N * WIDTH, 14)
        dqkv, dqkv_h = self.room(3 * N * WIDTH)
        self.k.attention_backward(
            dqkv_h, dout_h, self.out_h, self.p_h, self.qkv_h, N, HEADS, WIDTH // HEADS, self.c
        )
        return (dqkv,)

    def cross_entropy(self):
        logits, logits_h = self.given(N * VOCAB, 15)
        targets = bytearray(TOKENS[1:])
        loss, loss_h = self.room(1)
        self.k.cross_entropy(logits_h, loss_h, self.handle(targets), N, VOCAB, self.c)
        return loss, logits

    def softmax(self):
        x, x_h = self.given(VOCAB, 16)
        p, p_h = self.room(VOCAB)
        factor = array("f", (2.0,))
        self.k.softmax(p_h, x_h, self.handle(factor), VOCAB, self.c)
        return (p,)

    def adam(self):
        params, params_h = self.given(COUNT, 17)
        _, grads_h = self.given(COUNT, 18)
        m, v = (array("f", bytes(4 * COUNT)) for _ in range(2))
        for step in range(1, 4):
            k = array("f", (BETA1, 1 - BETA1, BETA2, 1 - BETA2, LR, BETA1**step, BETA2**step, EPS))
            m_h, v_h, k_h = (self.handle(values) for values in (m, v, k))
            self.k.adam(params_h, grads_h, m_h, v_h, COUNT, k_h, self.c)
        return params, m, v


NAMES = (
    "embed", "embed_backward", "rmsnorm", "rmsnorm_backward", "linear", "linear_backward_x",
    "linear_backward_w", "clear", "add", "relu", "relu_backward", "attention", "attention_backward",
    "cross_entropy", "softmax", "adam",
)  # fmt: skip


def stored(name):
    """Return the expected result `name`, an array('f')."""
    return array("f", a2b_base64(answers.ANSWERS[name]))


def worse(worst, difference):
    """Return the larger of the two, NaN if one of them is NaN."""
    return worst if difference <= worst or worst != worst else difference


def error(found, expected):
    """Return the largest difference relative to the largest of `expected`; NaN if one is NaN."""
    largest = max(abs(v) for v in expected)
    worst = 0.0
    for i in range(len(expected)):
        worst = worse(worst, abs(found[i] - expected[i]))
    return worst / largest


class Tally:
    """Prints a line for each check and counts those that passed and those that failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def line(self, passed, name, text):
        if passed:
            self.passed += 1
        else:
            self.failed += 1
        print("PASS" if passed else "FAIL", name + ":", text)

    def within(self, name, found, limit, unit="of the largest"):
        self.line(found <= limit, name, "%.1e %s (at most %.0e)" % (found, unit, limit))


def check_data(tally):
    try:
        dataset = open_dataset()
        tally.line(
            True, "data", "%d names in %s, CRC32 as written" % (dataset.count, dataset.source.name)
        )
    except DatasetError as error:
        tally.line(False, "data", str(error))


def rng_stream():
    """Return (integers, floats): random numbers of each kind from SEED."""
    rng = Rng(SEED)
    integers = [rng.next(), rng.below(32469)]
    for _ in range(1000):
        rng.next()
    integers.append(rng.next())
    floats = [rng.uniform()] + [rng.gauss() for _ in range(8)]
    integers += [rng.draw((0.5, 1.5, 3.0, 0.0, 1.0), 5), rng.state]
    return integers, floats


def check_rng(tally):
    integers, floats = rng_stream()
    if tuple(integers) != answers.RNG:
        tally.line(False, "rng", "%s, not %s" % (integers, answers.RNG))
    else:
        tally.within("rng", error(floats, stored("rng")), RNG_TOLERANCE)


def check_kernels(tally, kernels):
    gc.collect()  # in a heap of two pieces, the kernels may reach what is free in the first only
    cases = Kernels(kernels)
    for name in NAMES:
        found = [value for array in getattr(cases, name)() for value in array]
        tally.within(name, error(found, stored(name)), KERNEL_TOLERANCE)


def gradient_sums(grads, table):
    """Return a list with the sum of the gradients of each matrix in `table`."""
    sums = []
    for _, (rows, columns), offset in table:
        total = 0.0
        for i in range(offset, offset + rows * columns):
            total += grads[i]
        sums.append(total)
    return sums


def train_step(model, adam, name, step, lr):
    """Train on a name, letters a to z; return the loss before."""
    n = model.set_tokens(Tokenizer().encode(name))
    loss = model.loss_of(n)
    adam.begin(step, lr)
    model.backward(n, adam.update)
    return loss


def check_gradient(tally, model, adam):
    """Check every seventh gradient of a document, and the sum of the gradients of each matrix.

    They are m after the first step of Adam, divided by 1 - beta1.
    """
    adam.clear()
    train_step(model, adam, DOCUMENT, 0, LR)
    grads = adam.m
    for i in range(len(grads)):
        grads[i] /= 1 - BETA1
    expected = stored("gradient")
    largest = stored("gradient_largest")
    worst = 0.0
    for place, (_, (rows, columns), offset) in enumerate(model.table):
        first = -(-offset // GRADIENT_STRIDE)
        last = -(-(offset + rows * columns) // GRADIENT_STRIDE)
        for i in range(first, last):
            difference = abs(grads[i * GRADIENT_STRIDE] - expected[i]) / largest[place]
            worst = worse(worst, difference)
    tally.within("gradient", worst, GRADIENT_TOLERANCE)
    expected = stored("gradient_sums")
    scales = stored("gradient_scales")
    found = gradient_sums(grads, model.table)
    worst = 0.0
    for i in range(len(found)):
        worst = worse(worst, abs(found[i] - expected[i]) / scales[i])
    tally.within("gradient sums", worst, SUM_TOLERANCE, "of the sum without signs")


def check_training(tally, model, adam):
    """Check the losses of 20 training steps."""
    expected = stored("losses")
    adam.clear()
    model.initialise(Rng(SEED))
    worst = 0.0
    for step, name in enumerate(DOCUMENTS):
        loss = train_step(model, adam, name, step, LR * (1 - step / len(DOCUMENTS)))
        worst = worse(worst, abs(loss - expected[step]))
    tally.within("20 steps", worst, LOSS_TOLERANCE, "of loss")


def run(kernels, reason, model, adam, free):
    """Run all checks, print a line for each and a summary; return the number of failed checks.

    `free` is the number of bytes that were free before `model` and `adam` were allocated; these
    are None if that was too little.
    """
    remark("self-test of %s, %s kernels (%s)" % (board.description(), kernels.NAME, reason))
    tally = Tally()
    tally.line(
        adam, "memory", "training %s into %d bytes" % ("fits" if adam else "does not fit", free)
    )
    check_data(tally)
    check_rng(tally)
    check_kernels(tally, kernels)
    if adam:
        model.initialise(Rng(SEED))
        check_gradient(tally, model, adam)
        check_training(tally, model, adam)
    print("selftest: %d passed, %d failed" % (tally.passed, tally.failed))
    return tally.failed
