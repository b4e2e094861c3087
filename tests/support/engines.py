"""Models of engine native, also beside the same of engine tensor; the state of any model."""

import microgpt
import numpy as np
import pytest
from microgpt.engines import build
from microgpt.engines.base import Masks, Matrices, Model
from microgpt.lab.gradcheck import relative_errors

LIMIT = 1e-4


def built(config: microgpt.ModelConfig, tokenizer: microgpt.Tokenizer, weights: Matrices) -> Model:
    """Return a model of engine native; skip the test where the engine was not built."""
    try:
        return build(config, tokenizer, weights, "native", "float32")
    except microgpt.ConfigError as error:
        if "was not built here" not in str(error):
            raise
        pytest.skip(str(error))


def pair(
    config: microgpt.ModelConfig, vocab_size: int = 27, seed: int = 1, spread: float | None = None
) -> tuple[Model, Model]:
    """Return native and tensor (float64) with the same weights, drawn from N(0, spread).

    By default they are so large that activations stay near 1, and attention chooses, as in a
    trained model.
    """
    charset = "".join(chr(0x4E00 + i) for i in range(vocab_size - 1))
    fresh = microgpt.create(config, charset, dtype="float64")
    rng = np.random.default_rng(seed)
    spread = spread or min(0.5, config.n_embd**-0.5)
    weights = {
        name: rng.normal(0, spread, matrix.shape).astype("float32")
        for name, matrix in fresh.weights.items()
    }
    return (
        built(config, fresh.tokenizer, weights),
        build(config, fresh.tokenizer, weights, "tensor", "float64"),
    )


def documents(
    model: Model, count: int, seed: int = 2, longest: int | None = None
) -> list[list[int]]:
    """Return documents of random tokens; some are longer than the block, the first fills it."""
    rng = np.random.default_rng(seed)
    block = model.config.block_size
    lengths = [block + 1, *rng.integers(2, (longest or block) + 4, count - 1)]
    return [rng.integers(0, model.tokenizer.vocab_size, n).tolist() for n in lengths]


def is_smooth(tensor: Model, texts: list[list[int]], masks: Masks = None) -> bool:
    """Return whether the gradient is about the same at weights 2e-6 away, in both directions.

    Where it is not, the input of a relu is so close to 0 that rounding decides about the gradient.
    """
    rng = np.random.default_rng(3)
    moves = {name: 2e-6 * rng.normal(size=m.shape) * m for name, m in tensor.weights.items()}
    grads = []
    for sign in (1, -2):
        for name, matrix in tensor.weights.items():
            matrix += sign * moves[name]
        grads.append(tensor.batch_loss_and_grads(texts, masks)[1])
    for name, matrix in tensor.weights.items():
        matrix += moves[name]
    return max(relative_errors(*grads).values()) < LIMIT / 2


def assert_close(found: Matrices, expected: Matrices, limit: float = LIMIT) -> None:
    """Hold each matrix to `limit` times its largest entry; see `relative_errors`."""
    assert found.keys() == expected.keys()
    errors = relative_errors(found, expected)
    assert all(error <= limit for error in errors.values()), errors  # False for NaN


def state(model: Model) -> list[Matrices]:
    """Return a copy of the weights and of Adam's moments."""
    parts = (model.weights, *model.moments)
    return [{name: np.array(matrix) for name, matrix in part.items()} for part in parts]


def assert_equal(state: list[Matrices], same: list[Matrices]) -> None:
    for part, other in zip(state, same, strict=True):
        assert part.keys() == other.keys()
        for name, matrix in part.items():
            assert np.array_equal(matrix, other[name]), name
