"""A recorded run trained again on the computer: a right board agrees, a wrong gradient does not."""

import json
import shutil
import struct
import subprocess
from binascii import crc32
from pathlib import Path

import pytest
from microgpt_board import resources
from microgpt_board.emulation.micropython import build_virtual, find_micropython, run_board
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source
from ugpt.checkpoint import NEWEST

from tests.support.kernels import make_portable
from tests.support.replays import change, record, replay, set_in_run

ROOT = Path(__file__).parents[3]
NAMES = ROOT / "data" / "names.txt"
STEPS = 250
ZERO_LR = json.dumps({"step": 249, "loss": 2.0, "mean": 2.0, "lr": 0.0}) + "\n"


@pytest.fixture(scope="module")
def recorded(flash: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"steps": STEPS, "seed": 7, "lr": 0.02}
    return record(run_board(flash, settings), tmp_path_factory.mktemp("runs"))


def test_a_right_run_is_replayed(recorded: Path) -> None:
    result = replay(recorded)
    assert result.returncode == 0, result.stdout + result.stderr
    about, first, last, picture = result.stdout.splitlines()
    assert about.endswith(f"seed 7, steps 0 to {STEPS - 1} of {STEPS}, lr 0.02")
    assert first.startswith("PASS 10 of the first 100 steps: largest difference 0.000")
    assert last.startswith("PASS mean of the last 99 steps: board 2.")
    assert picture.endswith("replay.png")
    assert (recorded / "replay.png").read_bytes()[:4] == b"\x89PNG"


def wrong_power(text: str) -> str:
    """Plant an error known from elsewhere: RMSNorm's backward pass with another power."""
    right = "        factor = scale[t]\n"
    assert text.count(right) == 1
    return text.replace(right, "        factor = scale[t] * scale[t]\n")


def test_a_wrong_gradient_is_found(
    flash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware = tmp_path / "firmware"
    subprocess.run(["cp", "-r", str(ROOT / "firmware"), str(firmware)], check=True)
    ops = firmware / "ugpt" / "ops.py"
    ops.write_text(wrong_power(ops.read_text()))
    monkeypatch.setattr(resources, "device_package", lambda: firmware / "ugpt")
    board = tmp_path / "board"
    build_virtual(board, names_bin.read(Source(NAMES)))
    make_portable(board)
    folder = record(run_board(board, {"steps": STEPS, "seed": 7}), tmp_path / "runs")
    result = replay(folder)
    assert result.returncode == 1
    assert result.stdout.splitlines()[1].startswith("FAIL 10 of the first 100 steps")
    assert not result.stderr


def test_a_resumed_run_is_replayed(flash: Path, tmp_path: Path) -> None:
    settings = {"steps": STEPS, "seed": 7, "lr": 0.02, "save_every_s": 0}
    lines = run_board(flash, settings)
    for line in lines:
        if line.startswith("step:60 "):
            lines.close()  # the power
    folder = record(run_board(flash, settings, resume=True), tmp_path / "runs")
    result = replay(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    about, first, last, _ = result.stdout.splitlines()
    assert f"steps 0 to {STEPS - 1}" not in about
    assert first.startswith("PASS ")
    assert last.startswith("PASS mean of the last 99 steps")


def test_another_seed_fails(recorded: Path, tmp_path: Path) -> None:
    assert replay(change(recorded, tmp_path / "run", seed=8)).returncode == 1


def test_a_loss_that_is_not_a_number_fails(recorded: Path, tmp_path: Path) -> None:
    folder = change(recorded, tmp_path / "run")
    lines = (folder / "log.jsonl").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if '"step": 20,' in line)
    lines[place] = json.dumps({**json.loads(lines[place]), "loss": None})
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    result = replay(folder)
    assert result.returncode == 1
    assert "largest difference nan at step 20" in result.stdout


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), "cannot read"),
        (lambda folder: (folder / "run.json").write_text("{"), "is not a JSON object"),
        (lambda folder: set_in_run(folder, seed=0), "is not the record"),
        (lambda folder: set_in_run(folder, seed=float("inf")), "is not the record"),
        (lambda folder: set_in_run(folder, seed=10**400), "is not the record"),
        (lambda folder: set_in_run(folder, train={"steps": 10**400}), "is not the record"),
        (lambda folder: set_in_run(folder, train={"steps": 1_000_001}), "is not the record"),
        (lambda folder: set_in_run(folder, data={"documents": 1e999}), "is not the record"),
        (lambda folder: (folder / "run.json").write_text("[" * 100_000), "is not a JSON object"),
        (lambda folder: (folder / "log.jsonl").write_text("[" * 100_000), "has no step"),
        (lambda folder: (folder / "log.jsonl").write_text(ZERO_LR), "rounds the learning rate"),
        (lambda folder: set_in_run(folder, firmware="0.1.0"), "whose seeds gave other numbers"),
        (lambda folder: set_in_run(folder, train={"steps": 0}), "is not the"),
        (lambda folder: set_in_run(folder, board=None, engine="tensor"), "is not the record"),
        (lambda folder: (folder / "log.jsonl").write_text(""), "has no step"),
        (lambda folder: (folder / "log.jsonl").write_text('{"step": "x"}\n'), "has no step"),
    ],
)
def test_a_folder_that_is_not_a_board_s_run_is_refused(
    recorded: Path, tmp_path: Path, damage: object, message: str
) -> None:
    folder = change(recorded, tmp_path / "run")
    damage(folder)
    result = replay(folder)
    assert result.returncode == 1
    assert str(folder) in result.stderr
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("lr", ["nan", "inf", "-1", "0"])
def test_an_impossible_learning_rate_is_refused(recorded: Path, lr: str) -> None:
    result = replay(recorded, "--lr", lr)
    assert result.returncode == 1
    assert result.stderr == f"error: lr must be a number above 0, not {float(lr)}\n"


def test_another_list_of_names_is_refused(recorded: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("emma\nolivia\n")
    result = replay(recorded, "--names", names)
    assert result.returncode == 1
    assert "has 2 documents, the board's list 32469" in result.stderr


def test_a_run_from_pushed_weights_is_refused(recorded: Path, tmp_path: Path) -> None:
    folder = change(recorded, tmp_path / "run")
    with (folder / "log.jsonl").open("a") as file:
        text = "resumed at step 0 of 250 from checkpoint.bin, with pushed weights"
        file.write(json.dumps({"remark": text}) + "\n")
    result = replay(folder)
    assert result.returncode == 1
    assert "began with pushed weights" in result.stderr


def test_a_run_that_was_extended_at_the_prompt_is_refused(flash: Path, tmp_path: Path) -> None:
    board = tmp_path / "board"
    shutil.copytree(flash, board)
    for path in board.glob("checkpoint*"):
        path.unlink()
    code = "import ugpt\nugpt.train(steps=20, seed=7)\nugpt.train(steps=40)"
    words = [find_micropython(), "-X", "heapsize=300k", "-c", code]
    board_log = subprocess.run(words, cwd=board, capture_output=True, text=True, check=True).stdout
    folder = record(iter(board_log.splitlines()), tmp_path / "runs")
    result = replay(folder)
    assert result.returncode == 1
    assert "was extended to more steps" in result.stderr


def test_a_run_that_version_0_1_0_began_is_refused(flash: Path, tmp_path: Path) -> None:
    settings = {"steps": 20, "seed": 7}
    list(run_board(flash, settings))
    data = bytearray((flash / NEWEST).read_bytes()[:-4])
    struct.pack_into("<I", data, 52, 10)  # the next step
    struct.pack_into("<I", data, 60, 0)  # the origin: version 0.1.0 knew no mixed seed
    (flash / NEWEST).write_bytes(data + struct.pack("<I", crc32(data)))
    folder = record(run_board(flash, settings, resume=True), tmp_path / "runs")
    remark = "resumed at step 10 of 20 from checkpoint.bin, begun by version 0.1.0"
    assert remark in (folder / "log.jsonl").read_text()
    result = replay(folder)
    assert result.returncode == 1
    assert "was begun by version 0.1.0, whose seeds gave other numbers" in result.stderr


def without(folder: Path, target: Path, lost: list[int]) -> Path:
    """Copy a run, the lines of some steps lost."""
    change(folder, target)
    path = target / "log.jsonl"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if json.loads(line).get("step") not in lost]
    assert len(kept) == len(lines) - len(lost)
    path.write_text("\n".join(kept) + "\n")
    return target


@pytest.mark.parametrize("lost", [[0], [30], [200, 210], [STEPS - 1]])
def test_lost_lines_do_not_make_a_right_board_fail(
    recorded: Path, tmp_path: Path, lost: list[int]
) -> None:
    result = replay(without(recorded, tmp_path / "run", lost))
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("PASS") == 2
    assert "difference 0.0000" in result.stdout.splitlines()[2]


def test_nothing_to_compare_is_no_pass(recorded: Path, tmp_path: Path) -> None:
    every = [*range(0, STEPS, 10), STEPS - 1]
    folder = without(recorded, tmp_path / "run", [step for step in every if step != 150])
    result = replay(folder)
    assert result.returncode == 1
    assert "the record has nothing to compare" in result.stderr


def test_a_log_that_is_cut_short_is_replayed_up_to_there(recorded: Path, tmp_path: Path) -> None:
    folder = change(recorded, tmp_path / "run")
    path = folder / "log.jsonl"
    text = path.read_text()
    path.write_text(text[: text.index('"step": 200') + 20])
    result = replay(folder)
    assert result.returncode == 0, result.stderr
    assert "steps 0 to 190" in result.stdout
