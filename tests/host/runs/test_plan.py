"""The plan of a run: a model to start from, and settings that are refused in one line."""

import json
from pathlib import Path

import microgpt
import numpy as np
import pytest

from tests.support.commands import run


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_from_goes_on(tmp_path: Path) -> None:
    run("train", "--steps", "400", "--n-embd", "8", "--out", "first", cwd=tmp_path)
    words = ["train", "--from", "first", "--steps", "50", "--lr", "0.001", "--out", "second"]
    run(*words, cwd=tmp_path)
    early = np.mean([record["loss"] for record in records(tmp_path / "first")[:50]])
    assert np.mean([record["loss"] for record in records(tmp_path / "second")]) < early - 0.2
    about = json.loads((tmp_path / "second" / "run.json").read_text())
    assert about["model"]["n_embd"] == 8
    assert about["from"]["folder"] == "first"
    assert "equal to" in run("train", "--repeat", "second", cwd=tmp_path).stdout
    weights = tmp_path / "first" / "model" / "weights.json"
    weights.write_text(weights.read_text().replace("0.1", "0.2", 1))
    assert (
        "weights.json is not what it was"
        in run("train", "--repeat", "second", cwd=tmp_path, code=1).stderr
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "r", "--n-embd", "8"], "--from takes the sizes from the model"),
        (["--from", "r", "--data", "odd.txt"], "odd.txt, document 2: 'é' in 'zoé' is not in the"),
        (["--from", "nothing"], "nothing does not exist: name a model"),
        (["--repeat", "r", "--seed", "3"], "--repeat takes everything else from the run"),
        (["--repeat", "nothing"], "cannot read nothing/run.json"),
        (
            ["--repeat", "board"],
            "board is a board's run: repeat it with microgpt-board replay board",
        ),
        (["--repeat", "other"], "other/run.json is not a run of microgpt train"),
        (["--validation", "1"], "validation must be a number from 0 to below 1"),
        (
            ["--validation", "0.1", "--data", "odd.txt"],
            "validation 0.1 makes 2 documents to train on",
        ),
        (["--batch", "0"], "batch must be a whole number"),
        (["--batch", "9" * 15], "--batch must be at most 1,000,000,000,000"),
        (["--n-layer", "9" * 15], "--n-layer must be at most 1,000,000,000,000"),
        (["--threads", "9" * 20], "'--threads': 99999999999999999999 is not in the range"),
        (["--stop-after", "0"], "--stop-after must be a whole number"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    microgpt.create(microgpt.ModelConfig()).save(tmp_path / "r")
    (tmp_path / "odd.txt").write_text("ana\nzoé\n")
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "run.json").write_text('{"board": "ESP32", "seed": 1}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"seed": 1}')
    result = run("train", *words, cwd=tmp_path, code=None)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
