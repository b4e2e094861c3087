"""The optimizer: Adam with bias correction, on one flat array of parameters."""

from array import array

BETA1 = 0.85
BETA2 = 0.99
EPS = 1e-8


class Adam:
    """Adam (Kingma & Ba, 2015) for the parameters of `model`, a block at a time.

    The model's `m` and `v` are the running means of the gradients and of their squares. A step is
    `begin`, then `update` of each block.
    """

    def __init__(self, model):
        self.m = model.m
        self.v = model.v
        # beta1, 1 - beta1, beta2, 1 - beta2, lr, beta1 ** t, beta2 ** t, eps; t counts from 1
        self.coefficients = array("f", (BETA1, 1 - BETA1, BETA2, 1 - BETA2, 0.0, 0.0, 0.0, EPS))
        kernels = model.kernels
        view = kernels.view
        self._update = kernels.adam
        self._blocks = [
            (
                view(model.params, offset, length),
                view(gradient, 0, length),
                view(self.m, offset, length),
                view(self.v, offset, length),
                length,
            )
            for offset, length, gradient in model.blocks
        ]
        self._k = view(self.coefficients, 0, len(self.coefficients))
        self._c = view(kernels.CONSTANTS, 0, len(kernels.CONSTANTS))

    def clear(self):
        """Set `m` and `v` to 0, as at the start."""
        for i in range(len(self.m)):
            self.m[i] = self.v[i] = 0.0

    def begin(self, step, lr):
        """Set the coefficients of `step`, which counts from 0; `lr` is its rate."""
        k = self.coefficients
        k[4] = lr
        k[5] = BETA1 ** (step + 1)
        k[6] = BETA2 ** (step + 1)

    def update(self, index):
        """Update the parameters of block `index` of the model, whose gradient is in its buffer."""
        params, gradient, m, v, count = self._blocks[index]
        self._update(params, gradient, m, v, count, self._k, self._c)
