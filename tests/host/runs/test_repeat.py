"""A run repeated: equal to the last bit, or what differs is reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import run


@pytest.mark.parametrize(
    "settings",
    [
        ["--steps", "300", "--validation", "0.05", "--seed", "7"],
        ["--steps", "40", "--batch", "32", "--dtype", "float64", "--order", "random"],
        ["--steps", "3", "--engine", "scalar", "--n-embd", "4"],
        ["--steps", "500", "--stop-after", "60", "--tie-lm-head", "--n-layer", "2"],
    ],
)
def test_repeat_gives_the_same_to_the_last_bit(tmp_path: Path, settings: list[str]) -> None:
    run("train", *settings, "--out", "first", cwd=tmp_path)
    output = run("train", "--repeat", "first", "--out", "second", cwd=tmp_path).stdout
    assert "equal to first to the last bit" in output
    first, second = (
        json.loads((tmp_path / f / "run.json").read_text()) for f in ("first", "second")
    )
    assert first["model"] == second["model"]
    assert first["environment"]["commit"] == second["environment"]["commit"]
    assert (tmp_path / "first/model/weights.json").read_text() == (
        tmp_path / "second/model/weights.json"
    ).read_text()


def test_repeat_reports_what_differs(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("emma\nolivia\nava\n")
    run("train", "--data", "docs.txt", "--steps", "20", "--out", "r", cwd=tmp_path)
    log = tmp_path / "r" / "log.jsonl"
    lines = log.read_text().splitlines()
    record = json.loads(lines[12])
    record["loss"] = float(np.nextafter(record["loss"], 9))
    log.write_text("\n".join([*lines[:12], json.dumps(record), *lines[13:]]) + "\n")
    about = json.loads((tmp_path / "r" / "run.json").read_text())
    about["environment"]["numpy"] = "1.0"
    (tmp_path / "r" / "run.json").write_text(json.dumps(about))
    output = run("train", "--repeat", "r", cwd=tmp_path, code=1).stdout
    assert "different: loss at step 12: " in output
    assert f"different: numpy: 1.0 before, {np.__version__} now" in output
    assert "weights" not in output

    (tmp_path / "docs.txt").write_text("emma\nolivia\nave\n")
    assert (
        "docs.txt is not what it was in r"
        in run("train", "--repeat", "r", cwd=tmp_path, code=1).stderr
    )


def test_repeat_after_the_log_was_cut_short(tmp_path: Path) -> None:
    run("train", "--steps", "90", "--out", "r", cwd=tmp_path)
    log = tmp_path / "r" / "log.jsonl"
    log.write_text("\n".join(log.read_text().splitlines()[:30]) + '\n{"step": 30, "lo')
    output = run("train", "--repeat", "r", "--out", "s", cwd=tmp_path).stdout
    assert "equal to r to the last bit: 30 losses" in output
