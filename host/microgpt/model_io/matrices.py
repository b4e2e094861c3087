"""The weights of a model as {name: matrix}, and what each must be whatever file it is from."""

import numpy as np
from numpy.typing import NDArray

from microgpt.errors import UserError

Array = NDArray[np.floating]
Matrices = dict[str, Array]  # {name: (rows, columns)}, names and shapes of `ugpt.layout`


class ModelFolderError(UserError):
    """A folder or a file is not a whole model; the message names the file and what is wrong."""


def check_shape(where: str, name: str, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    """Raise ModelFolderError unless a matrix has the shape of `ugpt.layout`."""
    if shape != expected:
        raise ModelFolderError(f"{where}: {name} has shape {shape}, expected {expected}")


def check_finite(where: str, name: str, matrix: Array, dtype: str) -> None:
    """Raise ModelFolderError unless all values of a matrix are finite numbers of type `dtype`."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(matrix.astype(dtype, copy=False)).all()
    if not finite:
        raise ModelFolderError(f"{where}: {name} has a value that is not finite in {dtype}")
