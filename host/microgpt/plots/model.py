"""What a model does with a text: attention maps, embeddings, probabilities of what comes next."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microgpt.engines.tensor import TensorModel
from microgpt.model_io import Array
from microgpt.plots.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOS_SIGN = "\N{BULLET}"
MOST_BARS = 28  # next characters in a plot: the likeliest of a larger vocabulary


def draw_model(path: Path, model: TensorModel, text: str) -> None:
    """Draw what `model` makes of `text`, one picture for a slide.

    Above, the attention of each head: a row a position, how much it looks at each one before.
    Below, the embeddings of the tokens, on the two axes along which they differ most, and the
    probabilities of what comes next after `text`.
    """
    tokens = model.tokenizer.encode(text)[:-1][: model.config.block_size]
    attention, probabilities = model.attention_maps(tokens)
    heads = attention.reshape(-1, *attention.shape[2:])
    n_head = model.config.n_head
    columns = min(len(heads), max(4, n_head))
    rows = -(-len(heads) // columns)
    figure = new_figure(14, 3.3 * rows + 5.2)
    above, below = figure.subfigures(2, 1, height_ratios=[3.3 * rows, 5.2])
    letters = [_letter(model, token) for token in tokens]
    above.suptitle(f"Where each head looks, reading “{text}”", fontsize=17, weight="bold")
    panels = above.subplots(rows, columns, squeeze=False).ravel()
    for number, axes in enumerate(panels):
        if number >= len(heads):
            axes.axis("off")
            continue
        weights = np.where(np.tri(len(letters), dtype=bool), heads[number], np.nan)
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(letters)), letters, fontsize=13)
        axes.set_yticks(range(len(letters)), letters, fontsize=13)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        layer = f"layer {number // n_head + 1}, " if model.config.n_layer > 1 else ""
        axes.set_title(f"{layer}head {number % n_head + 1}", fontsize=14)
    left, right = below.subplots(1, 2, width_ratios=[1, 1.35])
    _draw_embeddings(left, model)
    _draw_next(right, model, text, probabilities[-1])
    figure.savefig(path, dpi=120)


def _letter(model: TensorModel, token: int) -> str:
    return BOS_SIGN if token == model.tokenizer.bos else model.tokenizer.decode([token])


def _draw_embeddings(axes: "Axes", model: TensorModel) -> None:
    embeddings = np.asarray(model.weights["wte"], float)
    centred = embeddings - embeddings.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    share = (spread[:2] ** 2).sum() / (spread**2).sum()
    for token, point in enumerate(points):
        letter = _letter(model, token)
        color = {BOS_SIGN: "C3"}.get(letter, "C1" if letter in "aeiouy" else "C0")
        axes.annotate(
            letter, point, ha="center", va="center", fontsize=17, weight="bold", color=color
        )
    axes.scatter(*points.T, s=0)
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("The letters’ embeddings in 2-D", fontsize=17, weight="bold")
    axes.set_xlabel(
        f"{share:.0%} of the variance; {BOS_SIGN} begins and ends a name",
        fontsize=12,
    )


def _draw_next(axes: "Axes", model: TensorModel, text: str, probabilities: Array) -> None:
    likeliest = np.argsort(-probabilities)[:MOST_BARS]
    values = probabilities[likeliest]
    axes.bar(
        range(len(values)),
        values,
        color=["C3" if t == model.tokenizer.bos else "C0" for t in likeliest],
    )
    axes.set_xticks(range(len(values)), [_letter(model, token) for token in likeliest], fontsize=14)
    for i, value in enumerate(values[:3]):
        axes.text(i, value, f"{value:.0%}", ha="center", va="bottom", fontsize=12)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(f"What comes after “{text}”", fontsize=17, weight="bold")
