"""The parameters of a model and their gradients as two flat arrays, with views by name."""

import numpy as np
from ugpt.layout import Sizes, parameter_count, parameter_table

from microgpt.model_io import Array, Matrices


class FlatParameters:
    """All parameters and their gradients as flat arrays, in the order of `ugpt.layout`.

    `weights` and `gradients` are {name: (rows, columns)}, views of `params` and `grads`.
    """

    def __init__(self, sizes: Sizes, weights: Matrices, dtype: str) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`."""
        self.dtype = dtype
        self._width = sizes.n_embd
        self._table = parameter_table(sizes)
        self._offsets = {name: offset for name, _, offset in self._table}
        self.params, self.grads = np.zeros((2, parameter_count(sizes)), dtype)
        self.weights = self.by_name(self.params)
        self.gradients = self.by_name(self.grads)
        for name, matrix in self.weights.items():
            matrix[...] = weights[name]

    def by_name(self, flat: Array) -> Matrices:
        """Return {name: (rows, columns)}, views of an array of all parameters."""
        return {
            name: flat[offset : offset + rows * columns].reshape(rows, columns)
            for name, (rows, columns), offset in self._table
        }

    def fused_qkv(self, flat: Array, layer: int) -> Array:
        """Return a layer's wq, wk and wv, adjacent in `flat`, as a view (3 * n_embd, n_embd)."""
        start = self._offsets[f"layer{layer}.attn_wq"]
        size = 3 * self._width * self._width
        return flat[start : start + size].reshape(3 * self._width, self._width)
