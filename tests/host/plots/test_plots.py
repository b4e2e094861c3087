"""Plots: PNG files with the expected titles and labels; a remark without matplotlib."""

import sys
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.plots.curves import Curve, draw_curves, smoothed
from microgpt.plots.model import draw_model
from microgpt.plots.sweep import Losses, draw_sweep

pytest.importorskip("matplotlib", reason="needs matplotlib: .venv/bin/pip install -e '.[plot]'")
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def remember(figure: Figure, *arguments: object, **options: object) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    return saved


def curve(name: str, count: int, validation: bool = True) -> Curve:
    losses = 3 - np.arange(count) / count
    points = [(0, 3.0), (count - 1, 2.0)] if validation else []
    return Curve(name, np.arange(count), losses, smoothed(losses), points)


def labels(figure: Figure) -> list[str]:
    return figure.axes[0].get_legend_handles_labels()[1]


def test_smoothed_is_the_mean_of_the_last() -> None:
    assert list(smoothed([1, 3, 5, 7], over=2)) == [1, 2, 4, 6]
    assert list(smoothed([1, 3, 5], over=10)) == [1, 2, 3]
    assert list(smoothed([])) == []


def test_the_curve_of_a_run(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "loss.png"
    assert draw_curves(path, [curve("r", 50)]) is None
    assert path.read_bytes().startswith(b"\x89PNG")
    assert labels(figures[0]) == ["loss of a step", "mean of the last 100", "validation loss"]


def test_the_curves_of_two_runs(tmp_path: Path, figures: list[Figure]) -> None:
    runs = [curve("a", 50), curve("b", 30, validation=False), curve("empty", 0, validation=False)]
    assert draw_curves(tmp_path / "plot.png", runs) is None
    assert labels(figures[0]) == ["a", "a, validation loss", "b"]
    low, high = figures[0].axes[0].get_ylim()
    assert low < min(runs[0].means) < 3 < high


def test_what_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "loss.png"
    remark = draw_curves(path, [curve("r", 0, validation=False)])
    assert remark == "no loss.png: no step was recorded"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    remark = draw_curves(path, [curve("r", 5)])
    assert remark == "no loss.png: .venv/bin/pip install -e '.[plot]'"
    whole = Losses(losses=[3.0, 2.0], validation_losses={}, diverged=None)
    remark = draw_sweep(path, {"a": [whole]})
    assert remark == "no loss.png: .venv/bin/pip install -e '.[plot]'"
    assert not path.exists()


def test_the_losses_of_a_sweep(tmp_path: Path, figures: list[Figure]) -> None:
    validation = ({"2": 2.5, "10": 2.0}, {"2": 2.7, "10": 2.2})
    one, other, without = (
        Losses(losses=losses, validation_losses=measured, diverged=None)
        for losses, measured in (
            ([3.0, 2.0, 2.0], validation[0]),
            ([3.0, 3.0, 1.0], validation[1]),
            ([3.0, 2.0, 1.0], {}),
        )
    )
    path = tmp_path / "comparison.png"
    assert draw_sweep(path, {"lr=0.1": [one, other], "lr=0.2": [without]}) is None
    assert path.read_bytes().startswith(b"\x89PNG")
    axes = figures[0].axes[0]
    assert labels(figures[0]) == ["lr=0.1", "lr=0.2"]
    assert axes.get_ylabel().endswith("points: validation loss")
    points = axes.lines[1]
    assert list(points.get_xdata()) == [2, 10]
    assert list(points.get_ydata()) == pytest.approx([2.6, 2.1])
    assert list(axes.lines[0].get_ydata()) == pytest.approx([3, (2.5 + 3) / 2, (7 + 7) / 6])
    assert axes.get_ylabel().startswith("loss, mean of the last 3 steps")


def test_what_diverged_in_a_sweep_is_a_cross_at_its_step(
    tmp_path: Path, figures: list[Figure]
) -> None:
    whole = Losses(losses=[3.0, 2.0, 1.0], validation_losses={}, diverged=None)
    broken = Losses(losses=[3.0, 1e30], validation_losses={}, diverged=2)
    path = tmp_path / "comparison.png"
    assert draw_sweep(path, {"a": [whole, broken], "b": [broken, broken]}) is None
    axes = figures[0].axes[0]
    assert labels(figures[0]) == ["a: 1 of 2 seeds diverged", "a", "b: 2 of 2 seeds diverged"]
    cross, mean, crosses = axes.lines
    assert (list(cross.get_xdata()), list(crosses.get_xdata())) == ([2], [2, 2])
    assert list(mean.get_ydata()) == [3.0, 2.5, 2.0]
    assert axes.get_ylim()[1] < 4
    assert draw_sweep(path, {"b": [broken]}) is None  # a picture without a curve


def test_a_model(tmp_path: Path, figures: list[Figure]) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_layer=2, n_head=2), engine="tensor")
    path = tmp_path / "show.png"
    draw_model(path, model, "maria")
    assert path.read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figures[0].axes]
    heads = [f"layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2)]
    assert titles[:4] == heads
    assert titles[4:] == [
        "Token embeddings in two dimensions",
        "Probability of the next token after “maria”",
    ]
    letters = [label.get_text() for label in figures[0].axes[0].get_xticklabels()]
    assert letters == ["•", "m", "a", "r", "i", "a"]
    with pytest.raises(microgpt.UserError, match="not in the vocabulary"):
        draw_model(path, model, "zoé")
    with pytest.raises(TypeError, match="only engine tensor has attention maps, not scalar"):
        draw_model(path, microgpt.create(model.config, engine="scalar"), "maria")


def test_a_plot_is_png_at_the_path_given_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plot.txt"
    assert draw_curves(path, [curve("r", 50)]) is None
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(IsADirectoryError):
        draw_curves(tmp_path, [curve("r", 50)])
