"""The losses of the variants of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from microgpt.plots.curves import SMOOTHED_OVER, smoothed
from microgpt.plots.figures import (
    MOST_LINES,
    NO_MATPLOTLIB,
    add_legend,
    line_style,
    loss_axes,
    new_figure,
    save,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist


class Losses(TypedDict):
    """The losses of a training: of every step, and {step: validation loss}, steps as text.

    `diverged` is the step at which the training diverged; the losses are those before it.
    """

    losses: list[float]
    validation_losses: dict[str, float]
    diverged: int | None


def draw_sweep(path: Path, variants: Mapping[str, Sequence[Losses]]) -> str | None:
    """Draw the training loss of each variant over the steps, and its validation losses as points.

    The values of a variant are one a seed: a line is their smoothed mean, the band around it is
    one standard deviation wide on each side. A seed that diverged is a cross at the upper edge,
    at its step, and is not in the mean. Returns a remark for the user if there are too many
    variants to tell apart or no matplotlib, else None.
    """
    if len(variants) > MOST_LINES:
        return f"no {path.name}: it has at most {MOST_LINES} variants, not {len(variants)}"
    try:
        figure = new_figure(12, max(5.5, 1 + 0.22 * len(variants)))
    except ImportError:
        return f"no {path.name}: {NO_MATPLOTLIB}"
    axes = loss_axes(figure)
    handles: list[Artist] = []
    names: list[str] = []
    lowest, highest = np.inf, -np.inf
    over = 0
    for number, (name, every) in enumerate(variants.items()):
        style = line_style(number)
        color = style["color"]
        results = [result for result in every if result["diverged"] is None]
        at = [result["diverged"] for result in every if result["diverged"] is not None]
        if at:
            edge = axes.get_xaxis_transform()
            (crosses,) = axes.plot(
                at, [1] * len(at), "x", color=color, transform=edge, clip_on=False
            )
            handles.append(crosses)
            names.append(f"{name}: {len(at)} of {len(every)} seeds diverged")
        if not results:
            continue
        curves = np.array([smoothed(result["losses"]) for result in results])  # (seeds, steps)
        mean, sd = curves.mean(0), curves.std(0)
        over = max(over, min(SMOOTHED_OVER, len(mean)))
        steps = np.arange(len(mean))
        (line,) = axes.plot(steps, mean, **style, lw=2)
        handles.append(line)
        names.append(name)
        if len(results) > 1:
            axes.fill_between(steps, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
        validation = [result["validation_losses"] for result in results]
        if validation[0]:
            measured = sorted(validation[0], key=int)
            means = [np.mean([losses[step] for losses in validation]) for step in measured]
            axes.plot([int(step) for step in measured], means, "o", color=color, ms=5, mec="w")
        # The first losses, before training has an effect, would flatten the rest.
        later = mean[min(SMOOTHED_OVER, len(mean) // 4) :]
        lowest, highest = min(lowest, later.min()), max(highest, later.max())
    if np.isfinite(highest):  # a variant has a curve
        room = 0.15 * (highest - lowest) + 0.02
        axes.set_ylim(lowest - room, highest + room)
    axes.set_ylabel(f"loss, mean of the last {over} steps; points: validation loss")
    add_legend(figure, handles, names)
    save(figure, path, dpi=130)
    return None
