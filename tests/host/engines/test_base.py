"""What all engines have in common: a step is taken or not, in parts, and its state can be kept."""

import tracemalloc
from functools import partial

import microgpt
import numpy as np
import pytest
from microgpt.engines import build
from microgpt.engines.base import DivergedError, Matrices

from tests.support.engines import assert_equal, built, state

DOCS = ["emma", "olivia", "ava", "isabella"]
CONFIG = microgpt.ModelConfig(n_embd=4, block_size=6)


def of_torch(dtype: str) -> object:
    return pytest.param("torch", dtype, marks=pytest.mark.torch)


in_every_engine = pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        ("scalar", "float64"),
        ("native", "float32"),
        ("tensor", "float32"),
        ("tensor", "float64"),
        of_torch("float32"),
        of_torch("float64"),
    ],
)


def create(engine: str, dtype: str, weights: Matrices | None = None) -> microgpt.Model:
    """Return a model of an engine with these weights, or with those of seed 42."""
    if engine == "torch":
        pytest.importorskip("torch", reason="needs PyTorch: .venv/bin/pip install -e '.[torch]'")
    fresh = microgpt.create(CONFIG, dtype="float64")
    made = partial(build, engine=engine, dtype=dtype)
    if engine == "native":
        made = built
    return made(CONFIG, fresh.tokenizer, weights or fresh.weights)


def overflowing(where: str, dtype: str) -> Matrices:
    """Return finite weights with which the "loss" or only its "gradient" is not finite.

    The squares of too large activations overflow. RMSNorm then makes them 0 and the probabilities
    equal: that is a loss.
    """
    weights = {
        name: np.array(m) for name, m in microgpt.create(CONFIG, dtype="float64").weights.items()
    }
    most = float(np.finfo(dtype).max)
    if where == "gradient":
        return {name: matrix * most**0.6 for name, matrix in weights.items()}
    weights["lm_head"] = np.where(weights["lm_head"] > 0, most, -most)
    return weights


@in_every_engine
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_overflows_changes_nothing(engine: str, dtype: str, where: str) -> None:
    model = create(engine, dtype, overflowing(where, dtype))
    before = state(model)
    documents = [model.tokenizer.encode(text) for text in DOCS]
    message = f"the {'loss' if where == 'loss' else 'squared norm of the gradient'} at step 7 is "
    with np.errstate(all="ignore"):
        with pytest.raises(DivergedError, match=message):
            model.train_step(documents[0], 7, 0.01)
        with pytest.raises(DivergedError, match=message):
            model.train_batch(documents, 7, 0.01)
        with pytest.raises(DivergedError, match=message):
            model.train_batch(documents, 7, 0.01, gradient_accumulation=2)
    assert_equal(state(model), before)


@pytest.mark.parametrize(
    ("engine", "dtype"), [("native", "float32"), ("tensor", "float32"), of_torch("float32")]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_training_that_diverges_leaves_the_weights_of_its_last_step(
    engine: str, dtype: str, batch: int
) -> None:
    model = create(engine, dtype)
    config = microgpt.TrainConfig(steps=20, lr=1e30, batch=batch)
    done = 0
    with (
        np.errstate(all="ignore"),
        pytest.raises(microgpt.TrainingError, match="at step .* is .*: lower lr, it is 1e\\+30"),
    ):
        for record in microgpt.train(model, DOCS, config):
            weights = state(model)[0]
            done = record.step + 1
    assert 0 < done < 20
    assert_equal(state(model)[:1], [weights])
    assert all(np.isfinite(matrix).all() for matrix in model.weights.values())


@in_every_engine
def test_the_moments_are_given_back_as_they_were(engine: str, dtype: str) -> None:
    model = create(engine, dtype)
    assert not any(matrix.any() for part in model.moments for matrix in part.values())
    tokens = model.tokenizer.encode("emma")
    for step in range(3):
        model.train_step(tokens, step, 0.01)
    copy = create(engine, dtype, model.weights)
    moments = model.moments
    copy.restore_optimizer(moments, 3)
    assert_equal(state(copy), state(model))
    assert all(matrix.any() for part in copy.moments for matrix in part.values())
    for matrix in (*moments[0].values(), *copy.moments[1].values()):
        matrix[:] = 9  # a copy was made of both
    for step in range(3, 6):
        assert model.train_step(tokens, step, 0.01) == copy.train_step(tokens, step, 0.01)
    assert_equal(state(copy), state(model))


@in_every_engine
def test_a_batch_in_parts_is_the_same_batch(engine: str, dtype: str) -> None:
    whole, parts = create(engine, dtype), create(engine, dtype)
    documents = [whole.tokenizer.encode(text) for text in DOCS]
    masks = [None, [i > 2 for i in range(7)], None, None]
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for step in range(2):
        for their_masks in (None, masks):
            loss = whole.train_batch(documents, step, 0.01, their_masks)
            again = parts.train_batch(documents, step, 0.01, their_masks, gradient_accumulation=2)
            assert again == pytest.approx(loss, rel=tolerance)
    for name, matrix in whole.weights.items():
        assert parts.weights[name] == pytest.approx(matrix, rel=1e-3, abs=1e-5)
    with pytest.raises(microgpt.ConfigError, match="4 documents do not divide into 3 equal parts"):
        parts.train_batch(documents, 4, 0.01, gradient_accumulation=3)


def memory_of_a_step(engine: str, documents: int, parts: int) -> int:
    """Return the most bytes at a time that a step takes besides the model."""
    model = create(engine, "float64")
    batch = [model.tokenizer.encode(text) for text in ["isabella", "alexandra"] * (documents // 2)]
    tracemalloc.start()
    model.train_batch(batch, 0, 0.01, gradient_accumulation=parts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(("engine", "batch", "parts"), [("scalar", 2, 3), ("tensor", 64, 8)])
def test_a_batch_in_parts_takes_the_memory_of_one(engine: str, batch: int, parts: int) -> None:
    one = memory_of_a_step(engine, batch, 1)
    assert memory_of_a_step(engine, batch * parts, parts) < 1.3 * one
