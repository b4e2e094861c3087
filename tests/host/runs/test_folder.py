"""A run's folder: its loss curve, a host's or a board's."""

import json
from pathlib import Path

import pytest
from microgpt.runs import folder as runs

from tests.support.commands import run


def test_plot_compares_board_and_host(tmp_path: Path) -> None:
    run("train", "--steps", "60", "--validation", "0.01", "--out", "host", cwd=tmp_path)
    board = tmp_path / "board"
    board.mkdir()
    lines = [{"remark": "microgpt-esp32"}]
    lines += [{"step": s, "loss": 3.0, "mean": 3 - s / 100, "lr": 0.01} for s in range(0, 60, 10)]
    lines += [{"step": 60, "loss": None}, {"name": "arona"}]
    (board / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run("plot", "host", "board", "--out", "both.png", cwd=tmp_path)
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    curve = runs.read_curve(board)
    assert list(curve.steps) == list(range(0, 60, 10))
    assert list(curve.means) == pytest.approx([3 - s / 200 for s in range(0, 60, 10)])
    assert [step for step, _ in runs.read_curve(tmp_path / "host").validation][-1] == 59
    assert "cannot read" in run("plot", "nothing", cwd=tmp_path, code=1).stderr


@pytest.mark.parametrize(
    "damage",
    [
        f'{{"step": {"9" * 400}, "loss": 2.0}}',
        f'{{"step": {"9" * 5000}, "loss": 2.0}}',
        f'{{"step": 1, "loss": {"9" * 400}}}',
        '{"step": 1, "loss": 1e308}\n{"step": 2, "loss": -1e308}',
        '{"step": 1, "loss": {}}',
        '{"step": {}, "loss": 2.0}',
        '{"step": 1, "loss": 2.0, "mean": {}}',
        "[" * 100_000,
        "\0",
    ],
    ids=lambda line: line[:20],
)
def test_a_log_with_damage_is_drawn_without_it(tmp_path: Path, damage: str) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 0, "loss": 3.0}\n' + damage + "\n")
    assert run("plot", ".", "--out", "plot.png", cwd=tmp_path).stdout == "drawn: plot.png\n"


def test_a_run_without_a_step_is_named(tmp_path: Path) -> None:
    for name, text in (("whole", '{"step": 0, "loss": 3.0}\n'), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text(text)
    error = run("plot", "whole", "empty", "--out", "plot.png", cwd=tmp_path).stderr
    assert error == "left out, no step was recorded: empty\n"
    error = run("plot", "empty", "--out", "other.png", cwd=tmp_path, code=1).stderr
    assert error == "error: no step was recorded in empty\n"


def test_variables_of_torchrun_that_are_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "first")
    result = run("train", "--steps", "1", "--out", "r", cwd=tmp_path, code=1)
    assert result.stderr == "error: RANK in the environment must be a number, not 'first'\n"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("count", "every", "label"),
    [(50, 1, 50), (5000, 1, 100), (50, 10, 50), (5000, 10, 100), (5000, 1000, 1000)],
)
def test_the_mean_names_the_steps_it_is_of(
    tmp_path: Path, count: int, every: int, label: int
) -> None:
    steps = sorted({*range(0, count, every), count - 1})
    mean = {"mean": 3.0} if every > 1 else {}  # a board's log has means
    lines = [json.dumps({"step": step, "loss": 3.0, **mean}) + "\n" for step in steps]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    assert runs.read_curve(tmp_path).mean == f"mean of the last {label}"
