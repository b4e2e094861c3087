"""The whole model: its own slopes, nothing stale, and the KV cache."""

from array import array
from binascii import crc32
from math import exp, log

from ugpt.adam import Adam
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import Tokenizer

from tests.support.micropython.arrays import NAN, close, raises

NEED_DOUBLES = (
    "test_every_17th_gradient_is_the_slope",
    "test_other_sizes_have_right_slopes_too",
)
SLOPE_STEP = 1e-3
SLOPE_TOLERANCE = 3e-3  # of the largest of the matrix; logits are single precision
LONGEST = Tokenizer().encode("maryalexandrina")  # 17 tokens: the whole block


def trained_a_little():
    """Return a model 3 steps old: its weights are no longer alike."""
    model = Model()
    model.initialise(Rng(1))
    adam = Adam(model.params, model.grads)
    for step, name in enumerate(("emma", "olivia", "maryalexandrina")):
        model.loss_and_grads(model.set_tokens(Tokenizer().encode(name)))
        adam.step(step, 0.01)
    return model


def test_first_loss_is_that_of_a_guess():
    model = Model()
    model.initialise(Rng(42))
    n = model.set_tokens(Tokenizer().encode("emma"))
    assert n == 5
    assert abs(model.loss_and_grads(n) - 3.2958) < 0.3  # log(27)


def exact_loss(model, n):
    """Return the mean loss in the precision of this interpreter's floats, from `logits`."""
    model.forward(0, n)
    vocab_size = model.sizes.vocab_size
    total = 0.0
    for t in range(n):
        start = t * vocab_size
        logits = model.logits[start : start + vocab_size]
        largest = max(logits)
        total += log(sum(exp(logit - largest) for logit in logits))
        total -= logits[model.tokens[t + 1]] - largest
    return total / n


def slope_errors(model, n, every):
    """Return [(name, error)], the largest error in each matrix of every so many gradients.

    Errors are against the slope, and relative to the largest gradient of the matrix.
    """
    model.loss_and_grads(n)
    grads = array("f", model.grads)
    params = model.params
    errors = []
    for name, (rows, columns), offset in model.table:
        end = offset + rows * columns
        worst = 0.0
        for i in range(offset + -offset % every, end, every):
            value = params[i]
            params[i] = value + SLOPE_STEP
            width = params[i]
            above = exact_loss(model, n)
            params[i] = value - SLOPE_STEP
            width -= params[i]
            below = exact_loss(model, n)
            params[i] = value
            error = abs((above - below) / width - grads[i])
            worst = error if not error <= worst else worst  # a NaN stays
        errors.append((name, worst / max(abs(grads[i]) for i in range(offset, end))))
    return errors


def with_strong_attention(sizes, seed):
    """Return a new model whose attention matters as much as the rest.

    The seeds below are ones at which no step crosses the kink of a relu.
    """
    model = Model(sizes)
    model.initialise(Rng(seed))
    for name, (rows, columns), offset in model.table:
        if "attn" in name:
            for i in range(offset, offset + rows * columns):
                model.params[i] *= 4
    return model


def test_every_17th_gradient_is_the_slope():
    model = with_strong_attention(Sizes(), 6)
    n = model.set_tokens(LONGEST)
    assert n == 16
    for name, error in slope_errors(model, n, 17):
        assert error < SLOPE_TOLERANCE, name


def test_nan_in_the_buffers_changes_nothing():
    model = trained_a_little()
    for name in ("emma", "maryalexandrina", ""):
        n = model.set_tokens(Tokenizer().encode(name))
        loss = model.loss_and_grads(n)
        grads = crc32(model.grads)
        for buffer in model.buffers + [model.grads]:
            for i in range(len(buffer)):
                buffer[i] = NAN
        assert model.loss_and_grads(n) == loss
        assert crc32(model.grads) == grads


def test_a_position_at_a_time_gives_the_same_logits():
    model = trained_a_little()
    vocab_size = model.sizes.vocab_size
    n = model.set_tokens(LONGEST)
    model.forward(0, n)
    logits = list(model.logits)
    for t in range(n):
        model.forward(t, t + 1)
        assert close(model.logits[:vocab_size], logits[t * vocab_size : (t + 1) * vocab_size], 1e-6)


def test_other_sizes_have_right_slopes_too():
    sizes = Sizes(vocab_size=27, n_embd=6, n_head=2, n_layer=2, block_size=5)
    model = with_strong_attention(sizes, 5)
    n = model.set_tokens(Tokenizer().encode("emmanuelle"))
    assert n == 5
    for name, error in slope_errors(model, n, 7):
        assert error < SLOPE_TOLERANCE, name


def test_everything_fits_110_kb():
    model = Model()
    adam = Adam(model.params, model.grads)
    floats = sum(len(buffer) for buffer in model.buffers) + len(adam.m) + len(adam.v)
    assert 4 * floats + len(model.tokens) <= 110 * 1024


def test_a_tied_head_is_refused():
    assert raises(ValueError, Model, Sizes(tie_lm_head=True))
