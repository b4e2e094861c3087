"""What a model computes for a text: attention maps, embeddings, probable next tokens."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microgpt.engines.base import Model
from microgpt.engines.tensor import TensorModel
from microgpt.model_io import Array
from microgpt.plots.figures import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOS_SIGN = "\N{BULLET}"
MOST_BARS = 28  # tokens in the plot of the next one: the likeliest


def draw_model(path: Path, model: Model, text: str) -> None:
    """Draw attention maps, embeddings and next tokens of `model` for `text` on one page.

    The map of a head has a row for each position, with the attention weights of the positions up
    to it. The embeddings of the tokens are projected on their first two principal components. The
    bars are the probabilities of the token after `text`.

    Only as much of `text` is used as fits the block. Raises VocabularyError for a character that
    is not in the vocabulary, ImportError without matplotlib, TypeError unless the engine is tensor.
    """
    if not isinstance(model, TensorModel):
        raise TypeError(f"only engine tensor has attention maps, not {model.engine}")
    tokens = model.tokenizer.encode(text)[:-1][: model.config.block_size]
    attention, probabilities = model.attention_maps(tokens)
    heads = attention.reshape(-1, *attention.shape[2:])  # (n_layer * n_head, n, n)
    columns = min(len(heads), max(4, model.config.n_head))
    rows = -(-len(heads) // columns)
    figure = new_figure(14, 3.3 * rows + 5.2)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.3 * rows, 5.2])
    above, below = parts.ravel()
    above.suptitle(f"Attention maps for “{text}”", fontsize=17, weight="bold")
    panels = above.subplots(rows, columns, squeeze=False).ravel()
    _draw_attention(panels, model, tokens, heads)
    left, right = below.subplots(1, 2, width_ratios=[1, 1.35])
    _draw_embeddings(left, model)
    _draw_next(right, model, text, probabilities[-1])
    save(figure, path, dpi=120)


def _draw_attention(
    panels: Iterable["Axes"], model: TensorModel, tokens: Sequence[int], heads: Array
) -> None:
    """Draw the map of each head, (n, n), on a panel; a panel that is left over stays empty."""
    letters = [_letter(model, token) for token in tokens]
    n_head = model.config.n_head
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


def _letter(model: TensorModel, token: int) -> str:
    return BOS_SIGN if token == model.tokenizer.bos else model.tokenizer.decode([token])


def _draw_embeddings(axes: "Axes", model: TensorModel) -> None:
    """Draw each token where its embedding is on the first two principal components."""
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
    axes.scatter(points[:, 0], points[:, 1], s=0)  # invisible, for the limits of the axes
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("Token embeddings in two dimensions", fontsize=17, weight="bold")
    axes.set_xlabel(
        f"{share:.0%} of the variance; {BOS_SIGN} is BOS, before and after a document",
        fontsize=12,
    )


def _draw_next(axes: "Axes", model: TensorModel, text: str, probabilities: Array) -> None:
    """Draw the likeliest of the probabilities of the next token, (vocab_size,), as bars."""
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
    axes.set_title(f"Probability of the next token after “{text}”", fontsize=17, weight="bold")
