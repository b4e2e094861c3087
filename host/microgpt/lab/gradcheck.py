"""Compare gradients with finite differences, which need no derivation."""

from collections.abc import Callable, Sequence

import numpy as np

from microgpt.engines.base import Model
from microgpt.model_io import Matrices

STEP = 1e-5  # the error of a central difference in float64 is about 1e-10 there
SMALLER_STEPS = (1e-6, 1e-7)  # for a parameter where relu has its kink within STEP
TOLERANCE = 1e-6
SMALLEST_SCALE = 1e-3


def gradcheck(
    model: Model, tokens: Sequence[int], progress: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Return {matrix: largest error of its gradient against central differences}; it may be NaN.

    Each parameter in turn is changed by STEP in both directions. The errors are relative, as in
    `relative_errors`. `model.weights` must be writable and float64 (engine "tensor"); they are
    restored. `progress` is called after each parameter.
    """
    _, grads = model.loss_and_grads(tokens)
    slopes = {name: np.empty_like(matrix) for name, matrix in model.weights.items()}
    for name, matrix in slopes.items():
        for index in np.ndindex(matrix.shape):
            matrix[index] = _slope(model, tokens, name, index, STEP)
            progress()
    scales = _scales(grads)
    for step in SMALLER_STEPS:
        for name, matrix in slopes.items():
            off = ~(np.abs(matrix - grads[name]) <= TOLERANCE * scales[name])
            for index in zip(*np.nonzero(off), strict=True):
                closer = _slope(model, tokens, name, index, step)
                expected = grads[name][index]
                if abs(closer - expected) < abs(matrix[index] - expected):
                    matrix[index] = closer
    return relative_errors(slopes, grads)


def _slope(
    model: Model, tokens: Sequence[int], name: str, index: tuple[int, ...], step: float
) -> float:
    """Return the central difference of the loss for one parameter."""
    weights = model.weights[name]
    value = weights[index]
    weights[index] = value + step
    above, _ = model.loss_and_grads(tokens)
    weights[index] = value - step
    below, _ = model.loss_and_grads(tokens)
    weights[index] = value
    return (above - below) / (2 * step)


def relative_errors(found: Matrices, expected: Matrices) -> dict[str, float]:
    """Return {matrix: largest difference}, relative to the largest expected entry of the matrix.

    For a matrix whose entries are all close to 0, it is relative to SMALLEST_SCALE of the largest
    entry of all matrices.
    """
    scales = _scales(expected)
    return {
        name: float(np.abs(found[name] - matrix).max() / scales[name])
        for name, matrix in expected.items()
    }


def _scales(grads: Matrices) -> dict[str, float]:
    """Return {matrix: what its errors are relative to}."""
    largest = {name: np.abs(matrix).max() for name, matrix in grads.items()}
    floor = SMALLEST_SCALE * max(largest.values())
    return {name: max(value, floor, 1e-12) for name, value in largest.items()}
