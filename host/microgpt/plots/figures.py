"""What all plots share: a figure, axes for a loss over the steps, lines, legends, and text.

Text from outside, such as the name of a run or a character of a vocabulary, is drawn through
`drawable`: matplotlib would read "$" as the start of a formula, and the font lacks characters.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from microgpt.errors import UserError
from microgpt.system import files

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font

NO_MATPLOTLIB = ".venv/bin/pip install -e '.[plot]'"

COLORS = 10  # matplotlib's C0 to C9
DASHES = ("solid", "dashed", "dotted", "dashdot")
MOST_LINES = COLORS * len(DASHES)  # that can be told apart in one plot
LONGEST_NAME = 40  # characters in a legend

PNG = b"\x89PNG"


class PlotError(UserError):
    """A picture cannot be drawn, or not where it was asked for; the message says why."""


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, its size in inches; raise ImportError without matplotlib."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def loss_axes(figure: "Figure") -> "Axes":
    """Add axes for a loss over the steps, and return them."""
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # there is no step 2.5
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


class LineStyle(TypedDict):
    """How a line is drawn, as keyword arguments of matplotlib."""

    color: str
    linestyle: str


def line_style(number: int) -> LineStyle:
    """Return the style of line `number`, different for each of MOST_LINES lines."""
    return {
        "color": f"C{number % COLORS}",
        "linestyle": DASHES[number // COLORS % len(DASHES)],
    }


def add_legend(figure: "Figure", handles: Sequence["Artist"], names: Sequence[str]) -> None:
    """Add a legend beside the axes, where it covers no curve; `names` may come from outside."""
    legend = figure.legend(
        handles,
        ["name"] * len(names),  # matplotlib leaves out a label that begins with "_"
        loc="outside right upper",
        frameon=False,
        fontsize=10,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(drawable(name, LONGEST_NAME))


def drawable(text: str, most: int) -> str:
    """Return `text` as matplotlib draws it literally; what it cannot draw is a code, [U+1F389].

    If that has more than `most` characters, only the beginning and the end are returned. A code
    is never cut; `most` is at least 19, so that there is room for two.
    """
    parts = [_drawable(character) for character in text]
    if sum(map(len, parts)) <= most:
        return "".join(parts)
    half = (most - 1) // 2
    beginning, end = _first(parts, half), _first(parts[::-1], half)[::-1]
    return "".join([*beginning, "…", *end])


def _first(parts: Sequence[str], most: int) -> list[str]:
    """Return the first of `parts`, as many as have at most `most` characters together."""
    lengths = accumulate(map(len, parts))
    return [part for part, length in zip(parts, lengths, strict=True) if length <= most]


def _drawable(character: str) -> str:
    if character == "$":
        return r"\$"
    kind = unicodedata.category(character)
    alone = kind[0] not in "CM" and (kind[0] != "Z" or character == " ")
    if alone and _font().get_char_index(ord(character)):
        return character
    return f"[U+{ord(character):04X}]"


@cache
def _font() -> "FT2Font":
    """Return the font of text that has no other."""
    from matplotlib import font_manager

    return font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))


def save(figure: "Figure", path: Path, dpi: int = 100) -> None:
    """Replace the file `path` by the figure as PNG, whatever its suffix.

    Raises PlotError if there is a file that is not a PNG, OSError if it cannot be written.
    """
    if path.is_file() and not path.read_bytes().startswith(PNG):
        raise PlotError(f"{path} is there and is not a PNG: name another file with --out")
    with files.replacing(path) as new:
        figure.savefig(new, dpi=dpi, format="png")
