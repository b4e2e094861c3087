"""Pictures: losses of one run or of several, a sweep, and the inside of a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microgpt.tensor import TensorModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHED_OVER = 100  # steps, for the mean in progress lines and pictures
BOS_SIGN = "\N{BULLET}"
MOST_BARS = 28  # next letters in a picture; the likeliest of a larger vocabulary
NO_MATPLOTLIB = ".venv/bin/pip install -e '.[plot]'"


@dataclass(frozen=True)
class Curve:
    """The losses of a run: by step, smoothed, and [(step, held-out loss)]."""

    name: str
    steps: np.ndarray
    losses: np.ndarray
    means: np.ndarray
    held: list[tuple[int, float]] = field(default_factory=list)


def smoothed(losses: Sequence[float], over: int = SMOOTHED_OVER) -> np.ndarray:
    """Return the mean of each loss and up to `over` - 1 before it."""
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - over)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _loss_axes(figure: "Figure") -> "Axes":
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_curves(path: Path, curves: Sequence[Curve]) -> str | None:
    """Draw the losses of runs, smoothed, raw behind; return a remark if it cannot be done."""
    try:
        figure = _figure(9, 5)
    except ImportError:
        return f"no {path.name}: {NO_MATPLOTLIB}"
    curves = [curve for curve in curves if len(curve.steps)]
    if not curves:
        return f"no {path.name}: no step was recorded"
    axes = _loss_axes(figure)
    alone = len(curves) == 1
    for number, curve in enumerate(curves):
        color = f"C{number % 10}"
        name = f"mean of the last {SMOOTHED_OVER}" if alone else curve.name
        raw = "loss of a step" if alone else None
        axes.plot(
            curve.steps, curve.losses, color, lw=0.6, alpha=0.35 if alone else 0.12, label=raw
        )
        axes.plot(curve.steps, curve.means, color, lw=2.2, label=name)
        if curve.held:
            held = "held-out documents" if alone else f"{curve.name}, held out"
            marker = "C1" if alone else color
            axes.plot(*zip(*curve.held, strict=True), "o", color=marker, ms=6, mec="w", label=held)
    if not alone:
        # Single documents are so different that, of several runs, only the means tell.
        means = np.concatenate([curve.means for curve in curves])
        axes.set_ylim(means.min() - 0.1, means.max() + 0.1)
    axes.legend(frameon=False, fontsize=11)
    figure.savefig(path, dpi=130)
    return None


def draw_sweep(path: Path, variants: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the results of each variant: the mean over its seeds, one standard deviation around."""
    figure = _figure(9, 5.5)
    axes = _loss_axes(figure)
    lowest, highest = np.inf, -np.inf
    for number, (name, results) in enumerate(variants.items()):
        color = f"C{number % 10}"
        curves = np.array([smoothed(result["losses"]) for result in results])
        mean, sd = curves.mean(0), curves.std(0)
        steps = np.arange(len(mean))
        axes.plot(steps, mean, color, lw=2, label=name)
        if len(results) > 1:
            axes.fill_between(steps, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
        held = [result["holdout_losses"] for result in results]
        if held[0]:
            at = sorted(held[0], key=int)
            points = [np.mean([losses[step] for losses in held]) for step in at]
            axes.plot([int(step) for step in at], points, "o", color=color, ms=5, mec="w")
        begun = mean[min(SMOOTHED_OVER, len(mean) // 4) :]
        lowest, highest = min(lowest, begun.min()), max(highest, begun.max())
    room = 0.15 * (highest - lowest) + 0.02
    axes.set_ylim(lowest - room, highest + room)
    axes.set_ylabel(f"loss, mean of the last {SMOOTHED_OVER} steps; points: held-out documents")
    axes.legend(frameon=False, fontsize=10)
    figure.savefig(path, dpi=130)


def draw_model(path: Path, model: TensorModel, text: str) -> None:
    """Draw what `model` makes of `text`, one picture for a slide.

    Above, the attention of each head: a row a position, how much it looks at each one before.
    Below, the embeddings of the tokens, on the two axes along which they differ most, and the
    probabilities of what comes next after `text`.
    """
    tokens = model.tokenizer.encode(text)[:-1][: model.config.block_size]
    attention, probabilities = model.look(tokens)
    heads = attention.reshape(-1, *attention.shape[2:])
    n_head = model.config.n_head
    columns = min(len(heads), max(4, n_head))
    rows = -(-len(heads) // columns)
    figure = _figure(14, 3.3 * rows + 5.2)
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


def _draw_next(axes: "Axes", model: TensorModel, text: str, probabilities: np.ndarray) -> None:
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
