"""Finite differences against the gradient: the check that trusts nobody's algebra."""

from collections.abc import Sequence

import numpy as np

from microgpt.engines.base import Matrices, Model

STEP = 1e-5  # the error of a central difference in float64 is about 1e-10 there
SMALLER_STEPS = (1e-6, 1e-7)  # for a parameter whose STEP crosses the kink of a relu
TOLERANCE = 1e-6
SMALLEST_SCALE = 1e-3


def gradcheck(model: Model, tokens: Sequence[int]) -> dict[str, float]:
    """Return {matrix: largest error of its gradient against finite differences}, NaN if it is one.

    Every parameter is moved by STEP both ways. Errors are relative as in `relative_errors`.
    `model` must be one whose `weights` can be written to, engine "tensor", in float64; it is left
    as it was.
    """
    _, grads = model.loss_and_grads(tokens)
    slopes = {name: np.empty_like(matrix) for name, matrix in model.weights.items()}
    for name, matrix in slopes.items():
        for index in np.ndindex(matrix.shape):
            matrix[index] = _slope(model, tokens, name, index, STEP)
    for step in SMALLER_STEPS:
        scales = _scales(grads)
        for name, matrix in slopes.items():
            off = ~(np.abs(matrix - grads[name]) <= TOLERANCE * scales[name])
            for index in zip(*np.nonzero(off), strict=True):
                closer = _slope(model, tokens, name, index, step)
                expected = grads[name][index]
                if abs(closer - expected) < abs(matrix[index] - expected):
                    matrix[index] = closer
    return relative_errors(slopes, grads)


def _slope(model: Model, tokens: Sequence[int], name: str, index: tuple, step: float) -> float:
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

    A matrix whose gradient is next to nothing is held to SMALLEST_SCALE of the largest of all.
    """
    scales = _scales(expected)
    return {
        name: float(np.abs(found[name] - matrix).max() / scales[name])
        for name, matrix in expected.items()
    }


def _scales(grads: Matrices) -> dict[str, float]:
    largest = {name: np.abs(matrix).max() for name, matrix in grads.items()}
    floor = SMALLEST_SCALE * max(largest.values())
    return {name: max(value, floor, 1e-12) for name, value in largest.items()}
