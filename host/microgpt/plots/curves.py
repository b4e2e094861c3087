"""The loss curves of one run or of several."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microgpt.model_io import Array
from microgpt.plots.figures import NO_MATPLOTLIB, loss_axes, new_figure, save

SMOOTHED_OVER = 100  # steps, for the mean in progress lines and plots


@dataclass(frozen=True)
class Curve:
    """The losses of a run.

    `steps`, `losses` and `means` have one value a recorded step, (count,); `means` are smoothed
    losses. `validation` is [(step, validation loss)].
    """

    name: str
    steps: Array
    losses: Array
    means: Array
    validation: list[tuple[int, float]] = field(default_factory=list)


def smoothed(losses: Sequence[float] | Array, over: int = SMOOTHED_OVER) -> Array:
    """Return for each loss the mean of it and of up to `over` - 1 losses before it, (count,)."""
    sums: Array = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - over)
    means: Array = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def draw_curves(path: Path, curves: Sequence[Curve]) -> str | None:
    """Draw the losses of runs: smoothed, and faintly the loss of each step.

    Returns a remark for the user if there is nothing to draw or no matplotlib, else None.
    """
    try:
        figure = new_figure(9, 5)
    except ImportError:
        return f"no {path.name}: {NO_MATPLOTLIB}"
    curves = [curve for curve in curves if len(curve.steps)]
    if not curves:
        return f"no {path.name}: no step was recorded"
    axes = loss_axes(figure)
    alone = len(curves) == 1
    for number, curve in enumerate(curves):
        color = f"C{number % 10}"
        name = f"mean of the last {SMOOTHED_OVER}" if alone else curve.name
        raw = "loss of a step" if alone else None
        axes.plot(
            curve.steps, curve.losses, color, lw=0.6, alpha=0.35 if alone else 0.12, label=raw
        )
        axes.plot(curve.steps, curve.means, color, lw=2.2, label=name)
        if curve.validation:
            label = "validation loss" if alone else f"{curve.name}, validation loss"
            marker = "C1" if alone else color
            at, measured = zip(*curve.validation, strict=True)
            axes.plot(at, measured, "o", color=marker, ms=6, mec="w", label=label)
    if not alone:
        # The losses of single documents vary so much that only the means of runs can be compared.
        means = np.concatenate([curve.means for curve in curves])
        axes.set_ylim(means.min() - 0.1, means.max() + 0.1)
    axes.legend(frameon=False, fontsize=11)
    save(figure, path, dpi=130)
    return None
