"""Engine scalar: each operation's slope, and a chain too deep for recursion."""

import math

import microgpt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.engines.scalar import Value

NUMBERS = st.floats(0.1, 3.0)
OPERATIONS = {
    "add": lambda a, b: a + b,
    "add a number": lambda a, b: 2.0 + a + 3.0,
    "multiply": lambda a, b: a * b,
    "multiply by a number": lambda a, b: 2.0 * a,
    "power": lambda a, b: a**-0.5,
    "divide": lambda a, b: a / b,
    "subtract": lambda a, b: a - b,
    "negate": lambda a, b: -a,
    "exp": lambda a, b: a.exp() if isinstance(a, Value) else math.exp(a),
    "log": lambda a, b: a.log() if isinstance(a, Value) else math.log(a),
    "relu": lambda a, b: (a - 1.0).relu() if isinstance(a, Value) else max(0.0, a - 1.0),
    "twice the same": lambda a, b: a * a * b + a,
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(a=NUMBERS, b=NUMBERS)
def test_slopes(name: str, a: float, b: float) -> None:
    if name == "relu" and abs(a - 1.0) < 1e-3:
        return  # it has no slope there
    operation = OPERATIONS[name]
    values = Value(a), Value(b)
    result = operation(*values)
    result.backward()
    h = 1e-6
    assert result.data == pytest.approx(operation(a, b))
    for value, above, below in (
        (values[0], operation(a + h, b), operation(a - h, b)),
        (values[1], operation(a, b + h), operation(a, b - h)),
    ):
        assert value.grad == pytest.approx((above - below) / (2 * h), rel=1e-5, abs=1e-7)


def test_backward_through_a_chain_of_100_000_does_not_recurse() -> None:
    start = Value(1.0)
    total = start
    for _ in range(100_000):
        total = total + 1.0
    total.backward()
    assert start.grad == 1.0


def test_a_document_is_memorised() -> None:
    config = microgpt.ModelConfig(n_embd=4, n_head=1, block_size=3)
    model = microgpt.create(config, "ab", engine="scalar")
    train = microgpt.TrainConfig(steps=200, lr=0.05)
    losses = [record.loss for record in microgpt.train(model, ["ab"], train)]
    assert losses[-1] < 0.01 < losses[0]


def test_weights_are_a_copy() -> None:
    model = microgpt.create(microgpt.ModelConfig(), engine="scalar")
    model.weights["wte"][:] = np.nan
    assert np.isfinite(model.weights["wte"]).all()
