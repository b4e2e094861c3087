"""Finite differences against the gradient: the check that trusts nobody's algebra."""

from collections.abc import Sequence

import numpy as np

from microgpt.model import Model

STEP = 1e-5  # the error of a central difference in float64 is about 1e-10 there
TOLERANCE = 1e-6


def gradcheck(model: Model, tokens: Sequence[int]) -> dict[str, float]:
    """Return {matrix: largest error of its gradient, relative to its largest entry}.

    Every parameter is moved by STEP both ways. `model` must be one whose `weights` can be written
    to, engine "tensor", in float64; it is left as it was.
    """
    _, grads = model.loss_and_grads(tokens)
    errors = {}
    for name, weights in model.weights.items():
        slopes = np.empty_like(weights)
        for index, value in np.ndenumerate(weights):
            weights[index] = value + STEP
            above, _ = model.loss_and_grads(tokens)
            weights[index] = value - STEP
            below, _ = model.loss_and_grads(tokens)
            weights[index] = value
            slopes[index] = (above - below) / (2 * STEP)
        largest = max(np.abs(slopes).max(), 1e-12)
        errors[name] = float(np.abs(slopes - grads[name]).max() / largest)
    return errors
