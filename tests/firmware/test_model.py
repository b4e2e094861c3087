"""The whole model: its own slopes, nothing stale, and the KV cache."""

from math import exp, log

from ugpt import layout
from ugpt.adam import Adam
from ugpt.layout import Sizes, training_bytes
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import Tokenizer

from tests.support.micropython.arrays import NAN, close
from tests.support.micropython.training import loss_and_grads, train_step

NEED_DOUBLES = (
    "test_every_17th_gradient_is_the_slope",
    "test_other_sizes_have_right_slopes_too",
)
SLOPE_STEP = 1e-3
SLOPE_TOLERANCE = 3e-3  # of the largest of the matrix; logits are single precision
LONGEST = Tokenizer().encode("maryalexandrina")  # 17 tokens: the whole block
SIZES = (
    Sizes(vocab_size=2, n_embd=4, n_head=1, block_size=3),
    Sizes(vocab_size=60, n_embd=6, n_head=3, n_layer=2, block_size=8),
    Sizes(vocab_size=255, n_embd=4, block_size=4, tie_lm_head=True),
    Sizes(n_embd=6, n_head=2, block_size=16, tie_lm_head=True, input_rmsnorm=False),
)


def trained_a_little():
    """Return a model 3 steps old: its weights are no longer alike."""
    model = Model()
    model.initialise(Rng(1))
    adam = Adam(model)
    for step, name in enumerate(("emma", "olivia", "maryalexandrina")):
        train_step(model, adam, Tokenizer().encode(name), step, 0.01)
    return model


def test_first_loss_is_that_of_a_guess():
    model = Model()
    model.initialise(Rng(42))
    n = model.set_tokens(Tokenizer().encode("emma"))
    assert n == 5
    assert abs(model.loss_of(n) - 3.2958) < 0.3  # log(27)


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
    _, grads = loss_and_grads(model, n)
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
        loss, grads = loss_and_grads(model, n)
        for buffer in model.buffers:
            for i in range(len(buffer)):
                buffer[i] = NAN
        again, grads_again = loss_and_grads(model, n)
        assert again == loss
        assert bytes(grads_again) == bytes(grads)


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
    for tied, norm in ((False, True), (True, True), (False, False), (True, False)):
        sizes = Sizes(27, 6, 2, 2, 5, tied, norm)
        model = with_strong_attention(sizes, 5)
        n = model.set_tokens(Tokenizer().encode("emmanuelle"))
        assert n == 5
        for name, error in slope_errors(model, n, 7):
            assert error < SLOPE_TOLERANCE, (tied, norm, name)


def test_training_bytes_are_those_that_are_allocated():
    for sizes in (Sizes(),) + SIZES:
        model = Model(sizes)
        buffers = model.buffers + [model.params, model.m, model.v]
        allocated = sum(4 * len(buffer) for buffer in buffers) + len(model.tokens)
        assert allocated == training_bytes(sizes)
    assert training_bytes(Sizes()) == 76117


def test_blocks_of_rows_change_nothing():
    """A model whose matrices are cut into many blocks computes what one in whole ones does."""
    for sizes in SIZES:
        whole = Model(sizes)
        gradients = layout.GRADIENTS
        try:
            layout.GRADIENTS = 4 * sizes.n_embd
            cut = Model(sizes)
        finally:
            layout.GRADIENTS = gradients
        assert len(cut.blocks) > len(whole.blocks)
        tokens = [i * i % sizes.vocab_size for i in range(sizes.block_size)]
        for model in (whole, cut):
            model.initialise(Rng(7))
            adam = Adam(model)
            for step in range(3):
                train_step(model, adam, tokens, step, 0.01)
        assert bytes(whole.params) == bytes(cut.params)
