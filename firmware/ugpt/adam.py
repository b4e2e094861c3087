"""The optimizer: Adam, bias-corrected, on one flat array of parameters."""

from array import array

from . import ops

BETA1 = 0.85
BETA2 = 0.99
EPS = 1e-8


class Adam:
    """Adam (Kingma & Ba, 2015) over `params` and `grads`, flat array('f') of the same length."""

    def __init__(self, params, grads, kernels=ops):
        count = len(params)
        self.m = array("f", bytes(4 * count))
        self.v = array("f", bytes(4 * count))
        self.coefficients = array("f", (BETA1, 1 - BETA1, BETA2, 1 - BETA2, 0.0, 0.0, EPS))
        self._update = kernels.adam
        views = [kernels.view(buffer, 0, count) for buffer in (params, grads, self.m, self.v)]
        self._arguments = views + [count, kernels.view(self.coefficients, 0, 7)]

    def step(self, step, lr):
        """Update the parameters; `step` counts from 0 and `lr` is this step's learning rate."""
        k = self.coefficients
        k[4] = lr / (1 - BETA1 ** (step + 1))  # the bias corrections of both moments
        k[5] = 1 / (1 - BETA2 ** (step + 1))
        self._update(*self._arguments)
