"""The parameters of a model and their gradients as two flat arrays, with views by name."""

import numpy as np
from ugpt.layout import Sizes, parameter_count, parameter_table

from microgpt.model_io import Array, Matrices


class FlatParameters:
    """All parameters and their gradients as flat arrays, in the order of `ugpt.layout`.

    `weights` and `gradients` are {name: (rows, columns)}, views of `params` and `grads`.
    """

    def __init__(
        self, sizes: Sizes, weights: Matrices, dtype: str, stored: Sizes | None = None
    ) -> None:
        """Copy `weights`, which have the names and shapes of `ugpt.layout`.

        The arrays are laid out for the sizes `stored`, if they differ: wider matrices, of which
        the model's are the first rows and columns; the rest is 0.
        """
        self.dtype = dtype
        self._width = sizes.n_embd
        self._shapes = {name: shape for name, shape, _ in parameter_table(sizes)}
        self._table = parameter_table(stored or sizes)
        self.offsets = {name: offset for name, _, offset in self._table}
        self.params, self.grads = (
            aligned_zeros(parameter_count(stored or sizes), dtype) for _ in range(2)
        )
        self.weights = self.by_name(self.params)
        self.gradients = self.by_name(self.grads)
        for name, matrix in self.weights.items():
            matrix[...] = weights[name]

    def by_name(self, flat: Array) -> Matrices:
        """Return {name: (rows, columns)}, views of an array of all parameters."""
        return {
            name: flat[offset : offset + rows * columns].reshape(rows, columns)[
                : self._shapes[name][0], : self._shapes[name][1]
            ]
            for name, (rows, columns), offset in self._table
        }

    def fused_qkv(self, flat: Array, layer: int) -> Array:
        """Return a layer's wq, wk and wv, adjacent in `flat`, as a view (3 * n_embd, n_embd)."""
        start = self.offsets[f"layer{layer}.attn_wq"]
        size = 3 * self._width * self._width
        return flat[start : start + size].reshape(3 * self._width, self._width)


def aligned_zeros(size: int, dtype: str) -> Array:
    """Return zeros, (size,), that begin with a line of the cache: no vector is then in two."""
    line = 64
    array = np.zeros(size + line // np.dtype(dtype).itemsize, dtype)
    start = -array.ctypes.data % line // array.itemsize
    return array[start : start + size]
