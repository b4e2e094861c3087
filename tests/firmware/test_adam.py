"""The optimizer against its definition."""

from array import array
from math import sqrt

from ugpt.adam import Adam

from tests.support.micropython.arrays import close, noise


def test_minimises_a_parabola():
    x = array("f", (5.0,))
    grads = array("f", (0.0,))
    adam = Adam(x, grads)
    for step in range(500):
        grads[0] = 2 * x[0]
        adam.step(step, 0.1)
    assert abs(x[0]) < 0.01


def test_follows_the_algorithm():
    count = 6
    params = array("f", noise(count, 1))
    grads = array("f", bytes(4 * count))
    expected = list(params)
    m = [0.0] * count
    v = [0.0] * count
    adam = Adam(params, grads)
    for step in range(5):
        lr = 0.01 * (1 - step / 5)
        for i, g in enumerate(noise(count, 2 + step)):
            grads[i] = g
            m[i] = 0.85 * m[i] + 0.15 * g
            v[i] = 0.99 * v[i] + 0.01 * g * g
            m_hat = m[i] / (1 - 0.85 ** (step + 1))
            v_hat = v[i] / (1 - 0.99 ** (step + 1))
            expected[i] -= lr * m_hat / (sqrt(v_hat) + 1e-8)
        adam.step(step, lr)
    assert close(params, expected, 1e-6)


def test_a_gradient_of_zero_moves_nothing():
    params = array("f", (1.0, -1.0))
    Adam(params, array("f", (0.0, 0.0))).step(0, 0.01)
    assert list(params) == [1.0, -1.0]
