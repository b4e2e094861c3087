"""The loss curves of one run or of several."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microgpt.model_io import Array
from microgpt.plots.figures import (
    MOST_LINES,
    NO_MATPLOTLIB,
    PlotError,
    add_legend,
    line_style,
    loss_axes,
    new_figure,
    save,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist

SMOOTHED_OVER = 100  # steps, for the mean in progress lines and plots


@dataclass(frozen=True)
class Curve:
    """The losses of a run.

    `steps`, `losses` and `means` have one value a recorded step, (count,); `means` are smoothed
    losses, each the mean of `over` steps. `validation` is [(step, validation loss)].
    """

    name: str
    steps: Array
    losses: Array
    means: Array
    validation: list[tuple[int, float]] = field(default_factory=list)
    over: int = SMOOTHED_OVER

    @property
    def mean(self) -> str:
        """What `means` are, in words; a run of fewer steps has fewer to average."""
        return f"mean of the last {min(self.over, int(self.steps[-1]) + 1)}"


def smoothed(losses: Sequence[float] | Array, over: int = SMOOTHED_OVER) -> Array:
    """Return for each loss the mean of it and of up to `over` - 1 losses before it, (count,)."""
    sums: Array = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - over)
    means: Array = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def draw_curves(path: Path, curves: Sequence[Curve]) -> str | None:
    """Draw the losses of runs: smoothed, and faintly the loss of each step.

    Returns a remark for the user if there is nothing to draw or no matplotlib, else None. Raises
    PlotError if there are too many runs to tell apart, and as `figures.save` does.
    """
    curves = [curve for curve in curves if len(curve.steps)]
    if len(curves) > MOST_LINES:
        raise PlotError(f"a plot has at most {MOST_LINES} runs, not {len(curves)}")
    try:
        figure = new_figure(12, max(5.0, 1 + 0.22 * len(curves)))
    except ImportError:
        return f"no {path.name}: {NO_MATPLOTLIB}"
    if not curves:
        return f"no {path.name}: no step was recorded"
    axes = loss_axes(figure)
    alone = len(curves) == 1
    handles: list[Artist] = []
    names: list[str] = []

    def named(handle: "Artist", name: str) -> None:
        handles.append(handle)
        names.append(name)

    points: Artist | None = None
    for number, curve in enumerate(curves):
        style = line_style(number)
        (raw,) = axes.plot(
            curve.steps, curve.losses, color=style["color"], lw=0.6, alpha=0.35 if alone else 0.12
        )
        if alone:
            named(raw, "loss of a step")
        (line,) = axes.plot(curve.steps, curve.means, **style, lw=2.2)
        named(line, curve.mean if alone else curve.name)
        if curve.validation:
            color = "C1" if alone else style["color"]
            at, measured = zip(*curve.validation, strict=True)
            (points,) = axes.plot(at, measured, "o", color=color, ms=6, mec="w")
    if points:
        named(points, "validation loss")
    if not alone:
        # The losses of single documents vary so much that only the means of runs can be compared.
        means = np.concatenate([curve.means for curve in curves])
        axes.set_ylim(means.min() - 0.1, means.max() + 0.1)
    add_legend(figure, handles, names)
    save(figure, path, dpi=130)
    return None
