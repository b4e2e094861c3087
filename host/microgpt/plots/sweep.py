"""The losses of a sweep's variants."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from microgpt.plots.curves import SMOOTHED_OVER, smoothed
from microgpt.plots.figures import loss_axes, new_figure


def draw_sweep(path: Path, variants: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the results of each variant: the mean over its seeds, one standard deviation around."""
    figure = new_figure(9, 5.5)
    axes = loss_axes(figure)
    lowest, highest = np.inf, -np.inf
    for number, (name, results) in enumerate(variants.items()):
        color = f"C{number % 10}"
        curves = np.array([smoothed(result["losses"]) for result in results])
        mean, sd = curves.mean(0), curves.std(0)
        steps = np.arange(len(mean))
        axes.plot(steps, mean, color, lw=2, label=name)
        if len(results) > 1:
            axes.fill_between(steps, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
        validation = [result["validation_losses"] for result in results]
        if validation[0]:
            at = sorted(validation[0], key=int)
            points = [np.mean([losses[step] for losses in validation]) for step in at]
            axes.plot([int(step) for step in at], points, "o", color=color, ms=5, mec="w")
        begun = mean[min(SMOOTHED_OVER, len(mean) // 4) :]
        lowest, highest = min(lowest, begun.min()), max(highest, begun.max())
    room = 0.15 * (highest - lowest) + 0.02
    axes.set_ylim(lowest - room, highest + room)
    axes.set_ylabel(f"loss, mean of the last {SMOOTHED_OVER} steps; points: validation loss")
    axes.legend(frameon=False, fontsize=10)
    figure.savefig(path, dpi=130)
