"""The optimizer against its definition."""

from array import array
from math import sqrt

from ugpt import ops
from ugpt.adam import Adam

from tests.support.micropython.arrays import close, noise


class Parameters:
    """A model of one block: its parameters `params` and their gradients `grads`."""

    kernels = ops

    def __init__(self, params):
        self.params = array("f", params)
        self.m = array("f", bytes(4 * len(self.params)))
        self.v = array("f", bytes(4 * len(self.params)))
        self.grads = array("f", bytes(4 * len(self.params)))
        self.blocks = [(0, len(self.params), self.grads)]


def test_minimises_a_parabola():
    model = Parameters((5.0,))
    adam = Adam(model)
    for step in range(500):
        model.grads[0] = 2 * model.params[0]
        adam.begin(step, 0.1)
        adam.update(0)
    assert abs(model.params[0]) < 0.01


def test_follows_the_algorithm():
    count = 6
    model = Parameters(noise(count, 1))
    expected = list(model.params)
    m = [0.0] * count
    v = [0.0] * count
    adam = Adam(model)
    for step in range(5):
        lr = 0.01 * (1 - step / 5)
        for i, g in enumerate(noise(count, 2 + step)):
            model.grads[i] = g
            m[i] = 0.85 * m[i] + 0.15 * g
            v[i] = 0.99 * v[i] + 0.01 * g * g
            m_hat = m[i] / (1 - 0.85 ** (step + 1))
            v_hat = v[i] / (1 - 0.99 ** (step + 1))
            expected[i] -= lr * m_hat / (sqrt(v_hat) + 1e-8)
        adam.begin(step, lr)
        adam.update(0)
    assert close(model.params, expected, 1e-6)


def test_a_gradient_of_zero_moves_nothing():
    model = Parameters((1.0, -1.0))
    adam = Adam(model)
    adam.begin(0, 0.01)
    adam.update(0)
    assert list(model.params) == [1.0, -1.0]


def test_a_block_moves_no_other():
    model = Parameters((1.0, 2.0, 3.0))
    model.blocks = [(0, 1, model.grads), (1, 2, model.grads)]
    model.grads[0] = model.grads[1] = 1.0
    adam = Adam(model)
    adam.begin(0, 0.01)
    adam.update(1)
    assert model.params[0] == 1.0
    assert close(model.params[1:], (1.99, 2.99), 1e-6)
