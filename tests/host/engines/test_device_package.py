"""Link 3: the device package, in CPython, against engine tensor."""

import microgpt
import numpy as np
import pytest
from microgpt.engines import build
from microgpt.engines.base import Matrices
from ugpt.adam import Adam
from ugpt.model import Model
from ugpt.rng import Rng

from tests.support.micropython.training import loss_and_grads, train_step
from tests.support.micropython.variants import VARIANTS, documents

LIMIT = 1e-4


def pair(variant: dict[str, int]) -> tuple[Model, microgpt.Model]:
    """Return the device package's model, and tensor's with the same weights."""
    given = dict(variant)
    vocab_size = given.pop("vocab_size", 27)
    config = microgpt.ModelConfig(**given)
    tokenizer = microgpt.Tokenizer("".join(chr(ord("0") + i) for i in range(vocab_size - 1)))
    device = Model(config.sizes(vocab_size))
    device.initialise(Rng(42))
    weights = by_name(device, device.params)
    return device, build(config, tokenizer, weights, "tensor", "float64")


def by_name(device: Model, flat: object) -> Matrices:
    values = np.array(flat, dtype=float)
    return {
        name: values[offset : offset + rows * columns].reshape(rows, columns)
        for name, (rows, columns), offset in device.table
    }


def assert_close(device: Model, flat: object, expected: Matrices) -> None:
    for name, matrix in by_name(device, flat).items():
        difference = np.abs(matrix - expected[name]).max()
        assert difference <= LIMIT * np.abs(expected[name]).max() + 1e-12, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_loss_and_every_gradient(variant: str) -> None:
    device, tensor = pair(VARIANTS[variant])
    adam = Adam(device)
    for step, tokens in enumerate(documents(device.sizes.vocab_size)):
        loss, found = loss_and_grads(device, device.set_tokens(tokens))
        expected_loss, grads = tensor.loss_and_grads(tokens)
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert_close(device, found, grads)
        # Go on from there, so that the next document meets weights that have learned something.
        assert train_step(device, adam, tokens, step, 0.01) == loss
        assert tensor.train_step(tokens, step, 0.01) == pytest.approx(loss, rel=1e-5)
        assert_close(device, device.params, tensor.weights)


@pytest.mark.parametrize("variant", VARIANTS)
def test_100_steps_stay_together(variant: str) -> None:
    device, tensor = pair(VARIANTS[variant])
    adam = Adam(device)
    docs = documents(device.sizes.vocab_size)
    for step in range(100):
        tokens = docs[step % len(docs)]
        lr = 0.01 * (1 - step / 100)
        loss = train_step(device, adam, tokens, step, lr)
        assert loss == pytest.approx(tensor.train_step(tokens, step, lr), abs=1e-3)
