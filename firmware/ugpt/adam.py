"""The optimizer: Adam with bias correction, on one flat array of parameters."""

from array import array

from . import ops
from .layout import zeros_pair

BETA1 = 0.85
BETA2 = 0.99
EPS = 1e-8


class Adam:
    """Adam (Kingma & Ba, 2015) for `params` and `grads`, flat float buffers of equal length.

    `m` and `v`, of the same length, are the running means of the gradients and of their squares.
    """

    def __init__(self, params, grads, kernels=ops):
        count = len(params)
        self.m, self.v = zeros_pair(count)
        # beta1, 1 - beta1, beta2, 1 - beta2, lr, beta1 ** t, beta2 ** t, eps; t counts from 1
        self.coefficients = array("f", (BETA1, 1 - BETA1, BETA2, 1 - BETA2, 0.0, 0.0, 0.0, EPS))
        view = kernels.view
        self._update = kernels.adam
        self._arguments = [view(buffer, 0, count) for buffer in (params, grads, self.m, self.v)]
        self._arguments += [
            count,
            view(self.coefficients, 0, len(self.coefficients)),
            view(kernels.CONSTANTS, 0, len(kernels.CONSTANTS)),
        ]

    def clear(self):
        """Set `m` and `v` to 0, as at the start."""
        for i in range(len(self.m)):
            self.m[i] = self.v[i] = 0.0

    def step(self, step, lr):
        """Update the parameters from the gradients; `step` counts from 0, `lr` is its rate."""
        k = self.coefficients
        k[4] = lr
        k[5] = BETA1 ** (step + 1)
        k[6] = BETA2 ** (step + 1)
        self._update(*self._arguments)
