"""Commands on a narrow terminal: counts are whole, and rows of a table can be told apart."""

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.support.commands import run

MICROGPT = str(Path(sys.executable).with_name("microgpt"))


def on_a_terminal(columns: int, *words: str, cwd: Path) -> str:
    """Return what `microgpt` with these words writes to a terminal so wide, without colours."""
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    child = pexpect.spawn(
        MICROGPT, [*words], 60, cwd=cwd, env=env, dimensions=(50, columns), encoding="utf-8"
    )
    written = child.read()
    child.close()
    assert child.exitstatus == 0, written
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_steps_of_a_training_are_whole(tmp_path: Path, columns: int) -> None:
    words = ["train", "--steps", "1000", "--n-embd", "4", "--validation", "0.01"]
    output = on_a_terminal(columns, *words, cwd=tmp_path)
    assert " 1000/1000 " in output
    assert "…" not in output
    drawn = output[: output.index("the run is in")]
    assert max(map(len, re.split(r"[\r\n]", drawn))) <= columns
    for word in ("loss", "mean", "validation", "steps/s", "0:00:00"):
        assert word in output


def test_the_rows_of_an_ablation_can_be_told_apart(tmp_path: Path) -> None:
    words = ["ablate", "--steps", "30", "--seeds", "2", "--n-embd", "4", "--out", "c"]
    output = on_a_terminal(80, *words, cwd=tmp_path)
    lines = [line.strip() for line in output.splitlines()]
    assert "…" not in output
    variants = []
    for tied, normed in zip(lines, lines[1:], strict=False):
        if tied.startswith("tie_lm_head=") and normed.startswith("input_rmsnorm="):
            assert len(tied) <= 80
            variants.append((tied.split()[0], normed.split()[0]))
    assert variants == [
        (f"tie_lm_head={tied}", f"input_rmsnorm={normed}")
        for tied in ("false", "true")
        for normed in ("true", "false")
    ]
    # Every figure is there, a standard deviation in the line below its mean.
    page = (tmp_path / "c" / "comparison.md").read_text()
    row = re.search(r"^\| tie_lm_head=false input_rmsnorm=true \| (.*) \|$", page, re.MULTILINE)
    assert row
    figures = [figure.split(" ± ") for figure in row[1].split(" | ")]
    first = next(i for i, line in enumerate(lines) if line.startswith("tie_lm_head=false "))
    assert lines[first].split()[1:] == [figure[0] for figure in figures]
    assert re.findall(r"± (\S+)", lines[first + 1]) == [
        figure[1] for figure in figures if len(figure) > 1
    ]


def test_gradcheck_shows_its_progress_on_a_terminal_only(tmp_path: Path) -> None:
    words = ["gradcheck", "--n-embd", "4", "--document", "emma"]
    assert " 472/472 parameters " in on_a_terminal(80, *words, cwd=tmp_path)
    result = run(*words, cwd=tmp_path)
    assert "parameters 0:" not in result.stdout
    assert result.stderr == ""
