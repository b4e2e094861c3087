"""What a model computes for a text: attention maps, embeddings, probable next tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microgpt.engines.base import Model
from microgpt.model_io import Array
from microgpt.plots.figures import drawable, new_figure, save
from microgpt.sampling import folded_prompt
from microgpt.tokenizer import Tokenizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

BOS_SIGN = "\N{BULLET}"
SPACE_SIGN = "\N{OPEN BOX}"
COLUMNS = 4  # maps side by side
MOST_MAPS = 16  # heads on the page
MOST_LAYERS = 4
MOST_LETTERS = 24  # beside a map; a longer text has its positions there, as numbers
MOST_BARS = 20  # tokens in the plot of the next one: the likeliest
MOST_CHARACTERS = 256  # of the tokens in the plot of the embeddings, all together
LONGEST_LABEL = 19  # characters of a token
LONGEST_TITLE = 20  # characters of the text; so many emoji are as wide as the bars
MAP, BELOW = 3.3, 5.6  # inches: the height of a row of maps, and of what is below them


def draw_model(path: Path, model: Model, text: str) -> None:
    """Draw attention maps, embeddings and next tokens of `model` for `text` on one page.

    The map of a head has a row for each position, with the attention weights of the positions up
    to it. Of more than MOST_MAPS heads some are drawn, and the title says which. The embeddings of
    the tokens are projected on their first two principal components. The bars are the probabilities
    of the tokens after `text`.

    `text` is folded to the vocabulary and limited as a prompt is. Raises SamplingError if it is too
    long, VocabularyError for a character that cannot be folded, PlotError if the file is there and
    is not a picture, ImportError without matplotlib, TypeError if the engine has no attention maps.
    """
    attention_maps = getattr(model, "attention_maps", None)
    if attention_maps is None:
        raise TypeError(f"engine {model.engine} has no attention maps: load the model in tensor")
    text = folded_prompt(model, text)
    tokens = [model.tokenizer.bos, *model.tokenizer.characters(text)]
    attention, probabilities = attention_maps(tokens)
    maps = _chosen(model.config.n_layer, model.config.n_head)
    rows = -(-len(maps) // COLUMNS)
    figure = new_figure(14, MAP * rows + BELOW)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[MAP * rows, BELOW])
    above, below = parts.ravel()
    shown = drawable(text, LONGEST_TITLE)
    above.suptitle(_maps_title(shown, maps, model), fontsize=17, weight="bold")
    letters = [_letter(model.tokenizer, token) for token in tokens]
    _draw_attention(above, letters, maps, attention)
    left, right = below.subplots(1, 2, width_ratios=[1.2, 1])
    _draw_embeddings(left, model)
    _draw_next(right, model, shown, probabilities[-1])
    save(figure, path, dpi=120)


def _chosen(n_layer: int, n_head: int) -> list[tuple[int, int]]:
    """Return the (layer, head) of each map that is drawn: all, or some of them up to MOST_MAPS.

    Of many layers they are evenly spaced, from the first to the last.
    """
    layers, heads = n_layer, n_head
    if n_layer * n_head > MOST_MAPS:
        layers = min(n_layer, MOST_LAYERS)
        heads = min(n_head, MOST_MAPS // layers // COLUMNS * COLUMNS)
    spaced = np.linspace(0, n_layer - 1, layers).round().astype(int)
    return [(int(layer), head) for layer in spaced for head in range(heads)]


def _maps_title(text: str, maps: Sequence[tuple[int, int]], model: Model) -> str:
    count = model.config.n_layer * model.config.n_head
    part = f": {len(maps)} of {count} heads" if len(maps) < count else ""
    return f"Attention maps for “{text}”{part}"


def _letter(tokenizer: Tokenizer, token: int) -> str:
    """Return what stands for a token in a plot: never nothing, and drawn as it is."""
    if token == tokenizer.bos:
        return BOS_SIGN
    text = tokenizer.decode([token], special=True)
    return SPACE_SIGN if text == " " else drawable(text, LONGEST_LABEL)


def _draw_attention(
    figure: "SubFigure",
    letters: Sequence[str],
    maps: Sequence[tuple[int, int]],
    attention: Array,
) -> None:
    """Draw the map of each (layer, head) in `maps` of `attention`, (n_layer, n_head, n, n)."""
    from matplotlib.colors import PowerNorm

    rows = -(-len(maps) // COLUMNS)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    # Most weights are small: a scale by the square root shows their differences.
    scale = PowerNorm(0.5, vmin=0, vmax=1)
    several = len(attention) > 1
    for axes, (layer, head) in zip(panels, maps, strict=False):
        weights = attention[layer, head]
        causal = np.where(np.tri(len(weights), dtype=bool), weights, np.nan)
        image = axes.imshow(causal, cmap="Blues", norm=scale)
        _label_tokens(axes, letters)
        axes.set_title(f"layer {layer + 1}, " * several + f"head {head + 1}", fontsize=14)
    for axes in panels[len(maps) :]:
        axes.axis("off")
    figure.supxlabel("key: the position that is attended to", fontsize=12)
    figure.supylabel("query: the position that attends", fontsize=12)
    bar = figure.colorbar(image, ax=list(panels), fraction=0.02, aspect=14 * rows)
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1], labels=["0", "0.05", "0.2", "0.5", "1"])
    bar.set_label("attention weight", fontsize=12)


def _label_tokens(axes: "Axes", letters: Sequence[str]) -> None:
    """Label both axes of a map with the tokens; with the positions, from 0, if they are many."""
    axes.spines[:].set_visible(False)
    if len(letters) > MOST_LETTERS:
        return
    at = range(len(letters))
    size = 13 if len(letters) <= 10 else 8
    upright = all(len(letter) <= 2 for letter in letters)
    axes.set_xticks(at, letters, fontsize=size, rotation=0 if upright else 90)
    axes.set_yticks(at, letters, fontsize=size)
    axes.tick_params(length=0)


def _draw_embeddings(axes: "Axes", model: Model) -> None:
    """Draw each token where its embedding is on the first two principal components."""
    embeddings = np.asarray(model.weights["wte"], float)
    centred = embeddings - embeddings.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(embeddings), 2))  # the second is 0 where a model has one dimension
    points[:, : len(directions[:2])] = centred @ directions[:2].T
    variances = np.append(spread, 0.0) ** 2  # one more, also for a model of one dimension
    shares = variances / (variances.sum() or 1.0)
    size = 17 if len(points) <= 40 else 11
    letters = [_letter(model.tokenizer, token) for token in range(len(points))]
    drawn = int(np.searchsorted(np.cumsum([*map(len, letters)]), MOST_CHARACTERS, side="right"))
    for token, (letter, (x, y)) in enumerate(zip(letters[:drawn], points, strict=False)):
        vowel = letter in ("a", "e", "i", "o", "u", "y")
        axes.annotate(
            letter,
            (x, y),
            ha="center",
            va="center",
            fontsize=size if len(letter) <= 2 else 9,
            weight="bold",
            color="C3" if token == model.tokenizer.bos else "C1" if vowel else "C0",
        )
    if drawn < len(points):
        axes.text(
            0.01,
            0.99,
            f"the first {drawn} of {len(points):,} tokens",
            transform=axes.transAxes,
            va="top",
            fontsize=11,
        )
    points = points[:drawn]
    axes.scatter(points[:, 0], points[:, 1], s=0)  # invisible, for the limits of the axes
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("Token embeddings in two dimensions", fontsize=15, weight="bold")
    first, second = (f"principal component, {share:.0%} of the variance" for share in shares[:2])
    axes.set_xlabel(f"first {first}; {BOS_SIGN} is BOS", fontsize=11)
    axes.set_ylabel(f"second {second}", fontsize=11)


def _draw_next(axes: "Axes", model: Model, text: str, probabilities: Array) -> None:
    """Draw the likeliest of the probabilities of the next token, (vocab_size,), as bars."""
    likeliest = np.argsort(-probabilities)[:MOST_BARS]
    values = probabilities[likeliest]
    bos = model.tokenizer.bos
    bars = axes.barh(
        range(len(values)), values, color=["C3" if t == bos else "C0" for t in likeliest]
    )
    axes.bar_label(bars, [f"{value:.1%}" for value in values], padding=3, fontsize=10)
    letters = [_letter(model.tokenizer, token) for token in likeliest]
    axes.set_yticks(range(len(values)), letters, fontsize=12)
    axes.invert_yaxis()  # the likeliest on top
    axes.set_xticks([])
    axes.margins(x=0.15)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    rest = len(probabilities) - len(values)
    others = f"; the {rest:,} others: {1 - values.sum():.1%}" if rest else ""
    axes.set_xlabel(f"probability ({BOS_SIGN}: the document ends){others}", fontsize=11)
    after = f"after “{text}”" if text else "at the start"
    axes.set_title(f"The next token\n{after}", fontsize=14, weight="bold")
