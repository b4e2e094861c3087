"""Adam on flat arrays, the optimizer of engine "tensor"."""

import numpy as np
from numpy import add, divide, multiply, sqrt, subtract
from ugpt.adam import BETA1, BETA2, EPS

from microgpt.model_io import Array


class Adam:
    """Adam (Kingma & Ba, 2015), with its constant factors combined into two numbers a step.

    The moments are m = (1 - b1) * sum_m and v = (1 - b2) * sum_v. Let c1 and c2 be these two
    factors divided by the bias corrections, 1 - b1 ** (step + 1) and 1 - b2 ** (step + 1). Then
    the update lr * c1 * sum_m / (sqrt(c2 * sum_v) + eps) is
    rate * sum_m / (sqrt(sum_v) + eps / sqrt(c2)) with rate = lr * c1 / sqrt(c2).
    """

    def __init__(self, params: Array, grads: Array) -> None:
        """Optimize `params` by `grads`, both (parameters,), in place."""
        self._params, self._grads = params, grads
        self.sum_m, self.sum_v, self._update = np.zeros((3, params.size), params.dtype)
        self._beta1, self._beta2 = (np.array(beta, params.dtype) for beta in (BETA1, BETA2))
        self._rate, self._eps = (np.zeros((), params.dtype) for _ in range(2))

    def step(self, step: int, lr: float) -> None:
        """Update the parameters by the gradients; `step` counts from 0, `lr` is the rate."""
        c1 = (1 - BETA1) / (1 - BETA1 ** (step + 1))
        root_c2 = ((1 - BETA2) / (1 - BETA2 ** (step + 1))) ** 0.5
        self._rate[()] = lr * c1 / root_c2
        self._eps[()] = EPS / root_c2
        grads, sum_m, sum_v, update = self._grads, self.sum_m, self.sum_v, self._update
        multiply(sum_m, self._beta1, sum_m)
        add(sum_m, grads, sum_m)
        multiply(sum_v, self._beta2, sum_v)
        multiply(grads, grads, update)
        add(sum_v, update, sum_v)
        sqrt(sum_v, update)
        add(update, self._eps, update)
        divide(sum_m, update, update)
        multiply(update, self._rate, update)
        subtract(self._params, update, self._params)
