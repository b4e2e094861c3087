"""The whole model: its own slopes, nothing stale, and the KV cache."""

from array import array

from support import NAN, close, raises
from ugpt.adam import Adam
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.rng import Rng
from ugpt.tokenizer import encode

# The loss is stored in single precision, to 1.2e-7 of about 3: over 2 * SLOPE_STEP an error of
# 1.8e-4, where the largest gradient is about 0.2. Half of that again is for the curvature.
SLOPE_STEP = 1e-3
SLOPE_TOLERANCE = 1.5e-3
LONGEST = encode("maryalexandrina")  # 17 tokens: the whole block


def trained_a_little():
    """Return a model 3 steps old: its weights are no longer alike."""
    model = Model()
    model.initialise(Rng(1))
    adam = Adam(model.params, model.grads)
    for step, name in enumerate(("emma", "olivia", "maryalexandrina")):
        model.loss_and_grads(model.set_tokens(encode(name)))
        adam.step(step, 0.01)
    return model


def test_first_loss_is_that_of_a_guess():
    model = Model()
    model.initialise(Rng(42))
    n = model.set_tokens(encode("emma"))
    assert n == 5
    assert abs(model.loss_and_grads(n) - 3.2958) < 0.3  # log(27)


def worst_slope_error(model, n):
    """Return the largest error among every 17th gradient, against the largest gradient."""
    model.loss_and_grads(n)
    grads = array("f", model.grads)
    params = model.params
    worst = 0.0
    for i in range(0, len(params), 17):
        value = params[i]
        params[i] = value + SLOPE_STEP
        above = model.loss_and_grads(n)
        params[i] = value - SLOPE_STEP
        below = model.loss_and_grads(n)
        params[i] = value
        worst = max(worst, abs((above - below) / (2 * SLOPE_STEP) - grads[i]))
    return worst / max(abs(g) for g in grads)


def test_every_17th_gradient_is_the_slope():
    model = trained_a_little()
    n = model.set_tokens(LONGEST)
    assert n == 16
    assert worst_slope_error(model, n) < SLOPE_TOLERANCE


def test_nan_in_the_buffers_changes_nothing():
    model = trained_a_little()
    for name in ("emma", "maryalexandrina", ""):
        n = model.set_tokens(encode(name))
        loss = model.loss_and_grads(n)
        grads = bytes(model.grads)
        for buffer in model.buffers:
            if buffer is not model.params:
                for i in range(len(buffer)):
                    buffer[i] = NAN
        assert model.loss_and_grads(n) == loss
        assert bytes(model.grads) == grads


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
    model = Model(Sizes(vocab_size=27, n_embd=6, n_head=2, n_layer=2, block_size=5))
    model.initialise(Rng(9))
    n = model.set_tokens(encode("emmanuelle"))
    assert n == 5
    assert worst_slope_error(model, n) < SLOPE_TOLERANCE


def test_everything_fits_110_kb():
    model = Model()
    adam = Adam(model.params, model.grads)
    floats = sum(len(buffer) for buffer in model.buffers) + len(adam.m) + len(adam.v)
    assert 4 * floats + len(model.tokens) <= 110 * 1024


def test_a_tied_head_is_refused():
    assert raises(ValueError, Model, Sizes(tie_lm_head=True))
