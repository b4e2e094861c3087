"""Replay of runs of other sizes and on other lists, and records that contradict themselves."""

import dataclasses
import json
import random
from pathlib import Path

import pytest
from microgpt.config import ModelConfig
from microgpt.data import NAMES
from microgpt_board.emulation.micropython import build_virtual, run_board
from microgpt_board.image import boards, names_bin
from microgpt_board.image.names_bin import Source
from microgpt_board.proof import bench

from tests.support.replays import change, record, replay

ASCII = "".join(map(chr, range(33, 127)))
CHARACTERS = ASCII + "".join(map(chr, range(0x4E00, 0x4E00 + 254 - len(ASCII))))


def write_list(path: Path, characters: int, longest: int = 15) -> Path:
    """Write 300 documents of up to `longest` characters, of which there are so many in all."""
    rng = random.Random(characters)
    known = CHARACTERS[:characters]
    lines = ["".join(rng.choices(known, k=rng.randint(1, longest))) for _ in range(300)]
    lines[: characters // longest + 1] = [
        known[i : i + longest] for i in range(0, characters, longest)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train(tmp_path: Path, names: Source, **settings: float) -> Path:
    """Train a virtual board on a list with these settings for 120 steps; return its record."""
    board = tmp_path / "board"
    build_virtual(board, names_bin.read(names))
    lines = run_board(board, {"steps": 120, "seed": 7, **settings})
    return record(lines, tmp_path / "runs")


WIDE = {"n_embd": 24, "n_head": 3}
ALL = {**WIDE, "n_layer": 2, "tie_lm_head": True, "input_rmsnorm": False}


@pytest.mark.parametrize(
    ("characters", "block_size", "settings"),
    [
        (1, None, {"n_layer": 2}),
        (59, None, {**WIDE, "tie_lm_head": True}),
        (254, None, {"input_rmsnorm": False}),
        (59, 64, {**ALL, "block_size": 64}),
    ],
)
def test_a_run_of_any_size_on_any_list_is_replayed(
    tmp_path: Path, characters: int, block_size: int | None, settings: dict[str, float]
) -> None:
    path = write_list(tmp_path / "list.txt", characters, (block_size or 16) - 1)
    folder = train(tmp_path, Source(path, block_size), **settings)
    about = json.loads((folder / "run.json").read_text())
    assert about["data"] == {"documents": 300, "vocab_size": characters + 1}
    assert about["model"].items() >= settings.items()
    result = replay(folder, "--names", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("PASS ") == 2
    found = [
        float(line.split("difference ")[1].split()[0]) for line in result.stdout.splitlines()[1:3]
    ]
    assert max(found) < 0.0006  # the log has four decimals


def test_each_of_100_steps_of_a_larger_model_is_replayed(tmp_path: Path) -> None:
    """At an lr of 0.01 rounding alone grows to 0.04 in 100 steps of this model."""
    path = tmp_path / "lines.txt"
    bench.write_lines(NAMES, path, longest=63)
    build_virtual(tmp_path / "board", names_bin.read(Source(path, block_size=64)))
    settings = {"steps": 100, "lr": 0.003, "log_every": 1, "n_embd": 48, "n_layer": 4}
    heap = boards.virtual_heap(boards.find("ESP32_GENERIC_S3-SPIRAM_OCT"))
    folder = record(run_board(tmp_path / "board", settings, str(heap)), tmp_path / "runs")
    assert json.loads((folder / "run.json").read_text())["parameters"] == 116_352
    result = replay(folder, "--names", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PASS 100 of the first 100 steps" in result.stdout


def test_a_folded_list_is_replayed_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("Zürich\nGenève\nBellinzona\nChur\n", encoding="utf-8")
    folder = train(tmp_path, Source(path, fold=True))
    result = replay(folder, "--names", path)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: {path} has 19 tokens, the board's list 27: name the board's with NAMES=, and "
        "FOLD=, CUT=, MAX_CHARACTERS= and BLOCK_SIZE= as it was written"
    ]
    assert replay(folder, "--names", path, "--fold").returncode == 0


def test_a_list_that_was_written_for_another_model(tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.txt", 59, longest=31)
    folder = train(tmp_path, Source(path), block_size=32)  # as make deploy without BLOCK_SIZE
    result = replay(folder, "--names", path)
    assert result.returncode == 1
    assert f"{path} has 300 documents, the board's list " in result.stderr
    result = replay(folder, "--names", path, "--block-size", 16)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def recorded(flash: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(run_board(flash, {"steps": 120, "seed": 7}), tmp_path_factory.mktemp("runs"))


MODEL = dataclasses.asdict(ModelConfig())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"model": {**MODEL, "n_layer": 2}}, "its sizes give 7264 parameters, not 4192"),
        ({"model": {**MODEL, "tie_lm_head": True}}, "its sizes give 3760 parameters, not 4192"),
        ({"model": {**MODEL, "n_head": 5}}, "n_embd 16 is not divisible by n_head 5"),
        ({"model": {**MODEL, "n_embd": "x"}}, "n_embd must be a whole number from 1 on, not 'x'"),
        ({"model": {**MODEL, "width": 1}}, "width is not a field of ModelConfig"),
        ({"model": None}, "the fields of ModelConfig must be an object, not None"),
        ({"model": {**MODEL, "block_size": 512}}, "its block_size 512 is above 256"),
        ({"model": {**MODEL, "n_embd": 10**6}, "parameters": 12000070 * 10**6}, "needs"),
        ({"data": {"documents": 32469, "vocab_size": True}}, "its vocab_size is not"),
        ({"data": {"documents": 32469, "vocab_size": 28}}, "its sizes give 4224 parameters"),
        ({"parameters": None}, "its sizes give 4192 parameters, not None"),
    ],
)
def test_a_record_of_impossible_sizes_is_refused(
    recorded: Path, tmp_path: Path, facts: dict[str, object], message: str
) -> None:
    result = replay(change(recorded, tmp_path / "run", **facts))
    assert result.returncode == 1
    assert message in result.stderr
    assert f"{tmp_path / 'run'} is not the record of a board's run" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_record_without_the_norm_that_had_it_fails(recorded: Path, tmp_path: Path) -> None:
    folder = change(recorded, tmp_path / "run", model={**MODEL, "input_rmsnorm": False})
    assert replay(folder).returncode == 1


def test_a_record_before_there_were_other_lists_is_replayed(recorded: Path, tmp_path: Path) -> None:
    folder = change(recorded, tmp_path / "run", data={"documents": 32469})
    assert replay(folder).returncode == 0
