"""What all plots share: a figure, and axes for a loss over the steps."""

from pathlib import Path
from typing import TYPE_CHECKING

from microgpt import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_MATPLOTLIB = ".venv/bin/pip install -e '.[plot]'"


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, its size in inches; raise ImportError without matplotlib."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def loss_axes(figure: "Figure") -> "Axes":
    """Add axes for a loss over the steps, and return them."""
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save(figure: "Figure", path: Path, dpi: int = 100) -> None:
    """Replace the file `path` by the figure as PNG, whatever its suffix; raise OSError."""
    with files.replacing(path) as new:
        figure.savefig(new, dpi=dpi, format="png")
