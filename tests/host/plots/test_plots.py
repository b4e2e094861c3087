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
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_smoothed_is_the_mean_of_the_last() -> None:
    assert list(smoothed([1, 3, 5, 7], over=2)) == [1, 2, 4, 6]
    assert list(smoothed([1, 3, 5], over=10)) == [1, 2, 3]
    assert list(smoothed([])) == []


def test_the_curve_of_a_run(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "loss.png"
    assert draw_curves(path, [curve("r", 500)]) is None
    assert path.read_bytes().startswith(b"\x89PNG")
    assert labels(figures[0]) == ["loss of a step", "mean of the last 100", "validation loss"]


def test_the_mean_is_of_no_more_steps_than_there_are(tmp_path: Path, figures: list[Figure]) -> None:
    draw_curves(tmp_path / "loss.png", [curve("r", 50)])
    assert labels(figures[0])[1] == "mean of the last 50"
    losses = {"losses": [3.0, 2.0, 1.0], "validation_losses": {}, "diverged": None}
    draw_sweep(tmp_path / "sweep.png", {"a": [Losses(**losses)]})
    assert "mean of the last 3 steps" in figures[1].axes[0].get_ylabel()


def test_the_curves_of_two_runs(tmp_path: Path, figures: list[Figure]) -> None:
    runs = [curve("a", 50), curve("b", 30, validation=False), curve("empty", 0, validation=False)]
    assert draw_curves(tmp_path / "plot.png", runs) is None
    assert labels(figures[0]) == ["a", "b", "validation loss"]
    low, high = figures[0].axes[0].get_ylim()
    assert low < min(runs[0].means) < 3 < high


def test_each_of_twenty_runs_has_its_own_style_and_its_name(
    tmp_path: Path, figures: list[Figure]
) -> None:
    names = ["_begins with a line", "$x^{2$", "日本", *(f"run {number}" for number in range(17))]
    path = tmp_path / "plot.png"
    assert draw_curves(path, [curve(name, 5, validation=False) for name in names]) is None
    assert labels(figures[0])[:4] == names[:1] + [r"\$x^{2\$", "[U+65E5][U+672C]", "run 0"]
    styles = {
        (line.get_color(), line.get_linestyle()) for line in figures[0].legends[0].get_lines()
    }
    assert len(styles) == 20
    with pytest.raises(microgpt.UserError, match="a plot has at most 40 runs, not 41"):
        draw_curves(path, [curve("a", 5)] * 41)


@pytest.mark.parametrize("count", [1, 20])
def test_the_legend_covers_no_curve(tmp_path: Path, figures: list[Figure], count: int) -> None:
    draw_curves(tmp_path / "plot.png", [curve(f"run {number}", 50) for number in range(count)])
    figure = figures[0]
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_the_axis_of_steps_has_whole_numbers(tmp_path: Path, figures: list[Figure]) -> None:
    draw_curves(tmp_path / "loss.png", [curve("r", 4)])
    ticks = figures[0].axes[0].get_xticks()
    assert list(ticks) == [round(tick) for tick in ticks]


def test_a_file_that_is_no_picture_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("{}")
    with pytest.raises(microgpt.UserError, match="is not a PNG: name another file with --out"):
        draw_curves(path, [curve("r", 5)])
    assert path.read_text() == "{}"


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
    remark = draw_sweep(path, {str(number): [whole] for number in range(41)})
    assert remark == "no comparison.png: it has at most 40 variants, not 41"


def test_a_model(tmp_path: Path, figures: list[Figure]) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_layer=2, n_head=2), engine="tensor")
    path = tmp_path / "show.png"
    draw_model(path, model, "maria")
    assert path.read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figures[0].axes if axes.get_title()]
    heads = [f"layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2)]
    assert titles == [*heads, "Token embeddings in two dimensions", "The next token\nafter “maria”"]
    assert ticks(figures[0], "x") == ["•", "m", "a", "r", "i", "a"]
    with pytest.raises(microgpt.UserError, match="not in the vocabulary"):
        draw_model(path, model, "zoß1")
    with pytest.raises(TypeError, match="engine scalar has no attention maps"):
        draw_model(path, microgpt.create(model.config, engine="scalar"), "maria")


def ticks(figure: Figure, axis: str, panel: int = 0) -> list[str]:
    return [label.get_text() for label in getattr(figure.axes[panel], f"get_{axis}ticklabels")()]


def test_a_model_s_text_fits_the_block_or_is_refused(tmp_path: Path, figures: list[Figure]) -> None:
    model = microgpt.create(microgpt.ModelConfig())
    path = tmp_path / "show.png"
    with pytest.raises(microgpt.UserError, match="at most 15 characters, not 19"):
        draw_model(path, model, "maryalexandrinabeth")
    assert not path.exists()
    draw_model(path, model, "maryalexandrina")
    assert len(ticks(figures[0], "x")) == 16
    draw_model(path, model, "Zoé")  # folded as a prompt is
    assert ticks(figures[1], "x") == ["•", "z", "o", "e"]


def test_every_token_has_a_label(tmp_path: Path, figures: list[Figure]) -> None:
    special = ["<|user|>", "<|end_turn|>", "日" * 20, "x" * 300]
    model = microgpt.create(microgpt.ModelConfig(), "ab \t$日\u0301", special_tokens=special)
    draw_model(tmp_path / "show.png", model, "a b$日")
    assert ticks(figures[0], "x") == ["•", "a", "␣", "b", r"\$", "[U+65E5]"]
    signs = ["•", "a", "b", "␣", "[U+0009]", r"\$", "[U+65E5]", "[U+0301]"]
    bars = ticks(figures[0], "y", panel=-1)
    short = ["[U+65E5]…[U+65E5]", "x" * 9 + "…" + "x" * 9]
    assert sorted(bars) == sorted([*signs, *special[:2], *short])


def test_labels_and_titles_of_any_text_leave_room_for_the_picture(
    tmp_path: Path, figures: list[Figure]
) -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    model = microgpt.create(
        microgpt.ModelConfig(n_head=1, block_size=64),
        characters + "\N{GRINNING FACE}",
        special_tokens=["日" * 20, "x" * 300],
    )
    draw_model(tmp_path / "show.png", model, "\N{GRINNING FACE}" * 40)  # a warning is an error
    figure = figures[0]
    edge = figure.bbox
    *_, embeddings, bars = figure.axes
    for text in (bars.title, embeddings.xaxis.label, embeddings.title):
        box = text.get_window_extent()
        assert edge.x0 <= box.x0 and box.x1 <= edge.x1, text
    notes = [text.get_text() for text in embeddings.texts if "tokens" in text.get_text()]
    assert notes == ["the first 32 of 304 tokens"]
    (head,) = [axes for axes in figure.axes if axes.get_title() == "head 1"]
    assert head.get_window_extent().x1 < edge.width / 2  # beside the label of its rows


def test_each_principal_component_has_its_own_share(tmp_path: Path, figures: list[Figure]) -> None:
    model = microgpt.create(microgpt.ModelConfig())
    draw_model(tmp_path / "show.png", model, "emma")
    covariance = np.cov(np.asarray(model.weights["wte"], float), rowvar=False)
    variances = np.linalg.eigvalsh(covariance)[::-1]
    first, second = (f"{part / variances.sum():.0%} of the variance" for part in variances[:2])
    axes = figures[0].axes[-2]
    assert axes.get_xlabel() == f"first principal component, {first}; • is BOS"
    assert axes.get_ylabel() == f"second principal component, {second}"


def test_bars_are_in_order_with_what_the_others_have(tmp_path: Path, figures: list[Figure]) -> None:
    model = microgpt.create(microgpt.ModelConfig())
    draw_model(tmp_path / "show.png", model, "emma")
    tokens = model.tokenizer.encode("emma")[:-1]
    assert hasattr(model, "attention_maps")
    probabilities = np.sort(model.attention_maps(tokens)[1][-1])[::-1]
    bars = figures[0].axes[-1]
    assert [text.get_text() for text in bars.texts] == [f"{p:.1%}" for p in probabilities[:20]]
    assert bars.get_xlabel().endswith(f"the 7 others: {probabilities[20:].sum():.1%}")
    boxes = [text.get_window_extent() for text in bars.texts]
    overlaps = [box.overlaps(below) for box, below in zip(boxes, boxes[1:], strict=False)]
    assert not any(overlaps)


@pytest.mark.parametrize(
    ("n_layer", "n_head", "layers", "heads"),
    [
        (1, 4, [1], 4),
        (1, 16, [1], 16),
        (4, 4, [1, 2, 3, 4], 4),
        (6, 16, [1, 3, 4, 6], 4),
        (2, 16, [1, 2], 8),
        (9, 2, [1, 4, 6, 9], 2),
        (3, 8, [1, 2, 3], 4),
    ],
)
def test_of_many_heads_the_title_says_how_many(
    tmp_path: Path, figures: list[Figure], n_layer: int, n_head: int, layers: list[int], heads: int
) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=n_head, n_head=n_head, n_layer=n_layer))
    draw_model(tmp_path / "show.png", model, "ma")
    titles = [axes.get_title() for axes in figures[0].axes if "head" in axes.get_title()]
    several = n_layer > 1
    assert titles == [
        f"layer {layer}, " * several + f"head {head + 1}"
        for layer in layers
        for head in range(heads)
    ]
    count = n_layer * n_head
    part = f": {len(titles)} of {count} heads" if len(titles) < count else ""
    assert figures[0].subfigs[0].get_suptitle() == f"Attention maps for “ma”{part}"


def test_attention_says_its_axes_and_its_scale(tmp_path: Path, figures: list[Figure]) -> None:
    model = microgpt.create(microgpt.ModelConfig(block_size=64))
    draw_model(tmp_path / "show.png", model, "ab" * 30)
    above = figures[0].subfigs[0]
    assert above.get_supxlabel() == "key: the position that is attended to"
    assert above.get_supylabel() == "query: the position that attends"
    assert "attention weight" in [axes.get_ylabel() for axes in figures[0].axes]
    assert above.axes[0].images[0].get_clim() == (0, 1)
    assert set(ticks(figures[0], "x")) >= {"0", "20", "40", "60"}  # letters would not be readable


def test_a_model_with_one_dimension(tmp_path: Path) -> None:
    model = microgpt.create(microgpt.ModelConfig(n_embd=1, n_head=1, block_size=1))
    draw_model(tmp_path / "show.png", model, "")


def test_a_plot_is_png_at_the_path_given_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plot.txt"
    assert draw_curves(path, [curve("r", 50)]) is None
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(IsADirectoryError):
        draw_curves(tmp_path, [curve("r", 50)])
