"""Weights both ways and the self-test, with the real mpremote on the virtual board's prompt."""

import json
import struct
from binascii import crc32
from collections.abc import Iterator
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt_board.device import log, remote, weights
from microgpt_board.device.ports import VIRTUAL
from microgpt_board.device.remote import Remote
from microgpt_board.emulation.micropython import run_board
from microgpt_board.errors import ToolError
from microgpt_board.proof.selftest import CODE as SELFTEST
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH, CheckpointError

from tests.support.commands import microgpt_board
from tests.support.serial_board import MicroPythonBoard

SETTINGS = {"steps": 12, "seed": 5}


@pytest.fixture(scope="module")
def finished(flash: Path) -> bytes:
    """The checkpoint that a run leaves."""
    list(run_board(flash, SETTINGS))
    return (flash / NEWEST).read_bytes()


@pytest.fixture
def board(
    flash: Path, finished: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Remote]:
    """The prompt of a virtual board, its flash as a run left it; copies go to tmp_path."""
    monkeypatch.chdir(tmp_path)
    checkpoint.remove(f"{flash}/")
    (flash / NEWEST).write_bytes(finished)
    with remote.connect(VIRTUAL, flash) as board:
        yield board


def model(**sizes: int) -> microgpt.Model:
    return microgpt.create(microgpt.ModelConfig(**sizes), seed=3)


def only_anna() -> microgpt.Model:
    """Return a model that knows one name."""
    trained = model()
    for _ in microgpt.train(trained, ["anna"], microgpt.TrainConfig(steps=60)):
        pass
    return trained


def test_pull_gives_the_boards_model(board: Remote, flash: Path, tmp_path: Path) -> None:
    said = weights.pull(board, tmp_path / "model")
    assert said.endswith("step 12 of 12, seed 5, from the board's checkpoint.bin")
    pulled = microgpt.load(tmp_path / "model")
    data = (flash / NEWEST).read_bytes()
    flat = np.concatenate([matrix.ravel() for matrix in pulled.weights.values()])
    assert flat.tobytes() == data[64 : 64 + 4 * 4192]
    assert microgpt.generate(pulled, 3)
    record = next(microgpt.train(pulled, ["emma"], microgpt.TrainConfig(steps=1)))
    assert record.loss < 3.4


def test_pull_takes_the_one_before_a_damaged_one(
    board: Remote, flash: Path, tmp_path: Path
) -> None:
    data = (flash / NEWEST).read_bytes()
    (flash / OLDER).write_bytes(data)
    (flash / NEWEST).write_bytes(data[:-1])
    said = weights.pull(board, tmp_path / "model")
    assert "checkpoint.bin is damaged" in said
    assert said.endswith("from the board's checkpoint-old.bin")


def test_pull_of_nothing_makes_no_folder(board: Remote, flash: Path, tmp_path: Path) -> None:
    checkpoint.remove(f"{flash}/")
    with pytest.raises(ToolError, match="no checkpoint yet"):
        weights.pull(board, tmp_path / "model")
    (flash / NEWEST).write_bytes(b"?")
    with pytest.raises(ToolError, match="damaged"):
        weights.pull(board)
    assert not list(tmp_path.iterdir())


def test_pull_never_replaces_a_folder(board: Remote, flash: Path, tmp_path: Path) -> None:
    model().save(tmp_path / "model")
    before = (tmp_path / "model" / "weights.json").read_bytes()
    with pytest.raises(FileExistsError):
        weights.pull(board, tmp_path / "model")
    refused = microgpt_board("pull", tmp_path / "model", "--port", "nowhere")
    assert refused.stderr == f"error: {tmp_path / 'model'} exists already: name another\n"
    assert (tmp_path / "model" / "weights.json").read_bytes() == before
    said = [weights.pull(board) for _ in range(3)]
    folders = ["models/board", "models/board-2", "models/board-3"]
    assert [line.split(":")[0] for line in said] == folders
    assert len({(tmp_path / name / "weights.json").read_bytes() for name in folders}) == 1


def test_push_copies_what_the_board_has_learned_first(
    board: Remote, flash: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = weights.unpack((flash / NEWEST).read_bytes(), NEWEST)
    model().save(tmp_path / "model")
    weights.push(board, tmp_path / "model", train=True)
    said = capsys.readouterr().out
    assert said == (
        "a copy first: models/board: step 12 of 12, seed 5, from the board's checkpoint.bin\n"
    )
    copy = microgpt.load(tmp_path / "models" / "board")
    for name, matrix in trained.weights.items():
        assert np.array_equal(copy.weights[name], matrix), name
    list(run_board(flash, {**SETTINGS, "save_every_s": 0}, resume=True))  # both files are new now
    weights.push(board, tmp_path / "model", train=False)
    assert "models/board-2: step 12 of 12" in capsys.readouterr().out
    # What was pushed and not trained came from a computer: no copy; nor of nothing, or of damage.
    weights.push(board, tmp_path / "model", train=False)
    checkpoint.remove(f"{flash}/")
    weights.push(board, tmp_path / "model", train=False)
    assert capsys.readouterr().out == ""
    (flash / NEWEST).write_bytes(b"?" * 100)
    (flash / OLDER).unlink(missing_ok=True)
    weights.push(board, tmp_path / "model", train=False)
    assert capsys.readouterr().out == "checkpoint.bin is damaged: its CRC32 differs\n"
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["board", "board-2"]


def test_push_without_room_for_the_copy_changes_nothing(
    board: Remote, flash: Path, tmp_path: Path
) -> None:
    before = (flash / NEWEST).read_bytes()
    model().save(tmp_path / "model")
    (tmp_path / "models").write_text("a file, where the folder of copies would be")
    with pytest.raises(OSError, match="models"):
        weights.push(board, tmp_path / "model", train=True)
    assert [path.name for path in flash.glob("checkpoint*")] == [NEWEST]
    assert (flash / NEWEST).read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n_layer", 1_000_000_000, "its sizes are too large"),
        ("n_layer", 2, "its length is not that of its model"),
        ("n_head", 0, "n_head must be a whole number from 1 on, not 0"),
        ("vocab_size", 28, "has 28 tokens, not 27"),
    ],
)
def test_a_checkpoint_that_lies_about_its_sizes_is_refused(
    finished: bytes, field: str, value: int, message: str
) -> None:
    data = bytearray(finished[:-4])
    struct.pack_into("<I", data, 12 + 4 * checkpoint.FIELDS.index(field), value)
    with pytest.raises(CheckpointError, match=message):
        weights.unpack(bytes(data) + struct.pack("<I", crc32(data)), NEWEST)


def test_what_was_pushed_comes_back_to_the_bit(board: Remote, flash: Path, tmp_path: Path) -> None:
    before = (flash / NEWEST).read_bytes()
    model().save(tmp_path / "model")
    weights.push(board, tmp_path / "model", train=False)
    weights.pull(board, tmp_path / "again")
    for name in ("weights.json", "meta.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    assert (flash / OLDER).read_bytes() == before
    assert not (flash / SCRATCH).exists()


def test_the_board_generates_from_what_was_pushed(
    board: Remote, flash: Path, tmp_path: Path
) -> None:
    only_anna().save(tmp_path / "model")
    said = weights.push(board, tmp_path / "model", train=False)
    assert "generates names" in said
    events = [log.parse(line) for line in run_board(flash, SETTINGS, resume=True)]
    assert not any(isinstance(event, log.Step) for event in events)
    assert events[1].text.endswith(
        "complete at step 12 of 12 from checkpoint.bin, with pushed weights"
    )
    assert [event.text for event in events[2:]] == ["anna"] * 20


def test_the_board_trains_on_with_what_was_pushed(
    board: Remote, flash: Path, tmp_path: Path
) -> None:
    only_anna().save(tmp_path / "model")
    assert "trains on for 12 steps" in weights.push(board, tmp_path / "model", train=True)
    events = [log.parse(line) for line in run_board(flash, SETTINGS, resume=True)]
    assert events[1].text.endswith(
        "resumed at step 0 of 12 from checkpoint.bin, with pushed weights"
    )
    steps = [event for event in events if isinstance(event, log.Step)]
    assert [event.step for event in steps] == [0, 10, 11]
    assert steps[0].loss > 4


def test_microgpts_own_order_of_tokens_is_turned_into_the_boards(
    board: Remote, tmp_path: Path
) -> None:
    ours = model()
    ours.save(tmp_path / "ours")
    theirs = json.loads((tmp_path / "ours" / "weights.json").read_text())
    for name in ("wte", "lm_head"):  # a..z, then BOS
        theirs[name] = theirs[name][1:] + theirs[name][:1]
    meta = json.loads((tmp_path / "ours" / "meta.json").read_text())
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "weights.json").write_text(json.dumps(theirs))
    (tmp_path / "theirs" / "meta.json").write_text(json.dumps({**meta, "bos": 26}))
    weights.push(board, tmp_path / "theirs", train=False)
    weights.pull(board, tmp_path / "again")
    again, expected = (tmp_path / folder / "weights.json" for folder in ("again", "ours"))
    assert again.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"n_embd": 32}, "n_embd 32, "),
        ({"n_layer": 2}, "n_layer 2, "),
        ({"block_size": 8}, "block_size 8"),
        ({"tie_lm_head": True}, "tied lm_head"),
        ({"input_rmsnorm": False}, "no input_rmsnorm"),
    ],
)
def test_another_shape_is_refused(sizes: dict[str, int], text: str, tmp_path: Path) -> None:
    model(**sizes).save(tmp_path / "model")
    with pytest.raises(ToolError) as error:
        weights.for_board(tmp_path / "model")
    theirs, ours = str(error.value).split(", not ")
    assert text in theirs
    assert "27 tokens (a..z), n_embd 16, n_head 4, n_layer 1, block_size 16" in ours


def test_other_tokens_are_another_shape(tmp_path: Path) -> None:
    for charset, special, text in (
        ("bacdefghijklmnopqrstuvwxyz", [], "27 tokens ('bacdef"),
        ("abcdefghijklmnopqrstuvwxyz", ["<|user|>"], "28 tokens (a..z <|user|>)"),
    ):
        other = microgpt.create(microgpt.ModelConfig(), charset, special_tokens=special)
        other.save(tmp_path / "model")
        with pytest.raises(ToolError) as error:
            weights.for_board(tmp_path / "model")
        assert text in str(error.value)


def test_a_damaged_transfer_is_not_installed(
    board: Remote, flash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (flash / NEWEST).read_bytes()
    put = board.put

    def cut(source: Path, name: str) -> None:
        source.write_bytes(source.read_bytes()[:-1])
        put(source, name)

    monkeypatch.setattr(board, "put", cut)
    model().save(tmp_path / "model")
    with pytest.raises(ToolError, match="what arrived is damaged"):
        weights.push(board, tmp_path / "model", train=False)
    assert (flash / NEWEST).read_bytes() == before
    assert not (flash / SCRATCH).exists()


def test_a_reset_board_starts_afresh(board: Remote, flash: Path) -> None:
    board.run(weights.RESET)
    assert not list(flash.glob("checkpoint*"))


def test_the_selftest_passes_on_the_board(board: Remote) -> None:
    lines = board.run(SELFTEST).splitlines()
    assert lines[-1] == "selftest: 22 passed, 0 failed"
    assert sum(line.startswith("PASS ") for line in lines) == 21


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pull", "x", "--port", "nowhere"], "nowhere is not there"),
        (["push", "nothing", "--port", "virtual"], "cannot read nothing"),
        (["selftest", "--port", "/dev/nothing"], "/dev/nothing"),
    ],
)
def test_errors_are_one_line(words: list[str], message: str) -> None:
    result = microgpt_board(*words)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_board_that_is_not_done_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash = tmp_path / "flash"
    flash.mkdir()
    monkeypatch.setattr(remote, "PATIENCE_S", 3)
    board = MicroPythonBoard(flash)
    try:
        reached = Remote(board.port)
        reached.run("print()")
        with pytest.raises(ToolError, match="the board was not done in 3 s"):
            reached.run("while True: pass")
    finally:
        board.close()
