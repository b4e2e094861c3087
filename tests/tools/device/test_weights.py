"""Weights both ways and the self-test, with the real mpremote on the virtual board's prompt."""

import json
from binascii import crc32
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase

import microgpt
import numpy as np
import pytest
from microgpt_board.device import log, remote, weights
from microgpt_board.device.remote import Remote
from microgpt_board.emulation.micropython import run_board
from microgpt_board.errors import ToolError
from microgpt_board.proof.selftest import CODE as SELFTEST
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH

from tests.support.commands import microgpt_board
from tests.support.serial_board import MicroPythonBoard
from tests.support.weights import SETTINGS, model, saved


def only_anna() -> microgpt.Model:
    """Return a model that knows one name."""
    trained = model()
    for _ in microgpt.train(trained, ["anna"], microgpt.TrainConfig(steps=60)):
        pass
    return trained


def test_pull_gives_the_boards_model(prompt: Remote, flash: Path, tmp_path: Path) -> None:
    said = weights.pull(prompt, tmp_path / "model")
    assert said.endswith("step 12 of 12, seed 5, from the board's checkpoint.bin")
    pulled = microgpt.load(tmp_path / "model")
    data = (flash / NEWEST).read_bytes()
    flat = np.concatenate([matrix.ravel() for matrix in pulled.weights.values()])
    assert flat.tobytes() == data[64 : 64 + 4 * 4192]
    assert microgpt.generate(pulled, 3)
    record = next(microgpt.train(pulled, ["emma"], microgpt.TrainConfig(steps=1)))
    assert record.loss < 3.4


def test_greedy_names_of_the_board_and_of_what_was_pulled_are_the_same(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    """At the prompt and by the setting; with prompts, since a model has one greedy name."""
    weights.pull(prompt, tmp_path / "model")
    pulled = microgpt.load(tmp_path / "model")
    expected = [microgpt.generate(pulled, 1, 0, prompt=letter)[0] for letter in ascii_lowercase]
    assert len(set(expected)) == 26
    code = "import ugpt\nfor c in %r: print('-', *ugpt.generate(1, temperature=0, prompt=c))"
    lines = prompt.run(code % ascii_lowercase).splitlines()
    assert [line[2:] for line in lines if line.startswith("- ")] == expected
    (name,) = microgpt.generate(pulled, 1, 0)
    events = map(log.parse, run_board(flash, {**SETTINGS, "temperature": 0}, resume=True))
    assert [e.text for e in events if isinstance(e, log.Name)] == [name] * 20


def test_pull_takes_the_one_before_a_damaged_one(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    data = (flash / NEWEST).read_bytes()
    (flash / OLDER).write_bytes(data)
    (flash / NEWEST).write_bytes(data[:-1])
    said = weights.pull(prompt, tmp_path / "model")
    assert "checkpoint.bin is damaged" in said
    assert said.endswith("from the board's checkpoint-old.bin")


def test_pull_of_nothing_makes_no_folder(prompt: Remote, flash: Path, tmp_path: Path) -> None:
    checkpoint.remove(f"{flash}/")
    with pytest.raises(ToolError, match="no checkpoint yet"):
        weights.pull(prompt, tmp_path / "model")
    (flash / NEWEST).write_bytes(b"?")
    with pytest.raises(ToolError, match="damaged"):
        weights.pull(prompt)
    assert not list(tmp_path.iterdir())


def test_pull_never_replaces_a_folder(prompt: Remote, flash: Path, tmp_path: Path) -> None:
    model().save(tmp_path / "model")
    before = (tmp_path / "model" / "weights.json").read_bytes()
    with pytest.raises(FileExistsError):
        weights.pull(prompt, tmp_path / "model")
    refused = microgpt_board("pull", tmp_path / "model", "--port", "nowhere")
    assert refused.stderr == f"error: {tmp_path / 'model'} exists already: name another\n"
    assert (tmp_path / "model" / "weights.json").read_bytes() == before
    said = [weights.pull(prompt) for _ in range(3)]
    folders = ["models/board", "models/board-2", "models/board-3"]
    assert [line.split(":")[0] for line in said] == folders
    assert len({(tmp_path / name / "weights.json").read_bytes() for name in folders}) == 1


def test_push_copies_what_the_board_has_learned_first(
    prompt: Remote, flash: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = weights.unpack(saved(flash / NEWEST))
    model().save(tmp_path / "model")
    weights.push(prompt, tmp_path / "model", train=True)
    said = capsys.readouterr().out
    assert said == (
        "a copy first: models/board: step 12 of 12, seed 5, from the board's checkpoint.bin\n"
    )
    copy = microgpt.load(tmp_path / "models" / "board")
    for name, matrix in trained.weights.items():
        assert np.array_equal(copy.weights[name], matrix), name
    list(run_board(flash, {**SETTINGS, "save_every_s": 0}, resume=True))  # both files are new now
    weights.push(prompt, tmp_path / "model", train=False)
    assert "models/board-2: step 12 of 12" in capsys.readouterr().out
    # What was pushed and not trained came from a computer: no copy; nor of nothing, or of damage.
    weights.push(prompt, tmp_path / "model", train=False)
    checkpoint.remove(f"{flash}/")
    weights.push(prompt, tmp_path / "model", train=False)
    assert capsys.readouterr().out == ""
    (flash / NEWEST).write_bytes(b"?" * 100)
    (flash / OLDER).unlink(missing_ok=True)
    weights.push(prompt, tmp_path / "model", train=False)
    assert capsys.readouterr().out == "checkpoint.bin is damaged: its CRC32 differs\n"
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["board", "board-2"]


def test_push_without_room_for_the_copy_changes_nothing(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    before = (flash / NEWEST).read_bytes()
    model().save(tmp_path / "model")
    (tmp_path / "models").write_text("a file, where the folder of copies would be")
    with pytest.raises(OSError, match="models"):
        weights.push(prompt, tmp_path / "model", train=True)
    assert [path.name for path in flash.glob("checkpoint*")] == [NEWEST]
    assert (flash / NEWEST).read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n_layer", 1_000_000_000, "its length is not that of its model"),
        ("n_layer", 2, "its length is not that of its model"),
        ("n_head", 0, "every size must be at least 1"),
        ("n_head", 3, "n_embd 16 is not divisible by n_head 3"),
        ("origin", checkpoint.TIED, "its length is not that of its model"),
    ],
)
def test_a_checkpoint_that_lies_about_its_sizes_is_refused(
    flash: Path, finished: bytes, field: str, value: int, message: str
) -> None:
    (flash / NEWEST).write_bytes(finished)
    whole = saved(flash / NEWEST)
    weights.unpack(whole)
    with pytest.raises(ToolError, match=f"checkpoint.bin is damaged: {message}"):
        weights.unpack(replace(whole, header={**whole.header, field: value}))


@pytest.mark.parametrize("pushed", ["model", "tensors", "one.safetensors"])
def test_what_was_pushed_comes_back_to_the_bit(
    prompt: Remote, flash: Path, tmp_path: Path, pushed: str
) -> None:
    before = (flash / NEWEST).read_bytes()
    model().save(tmp_path / "model")
    model().save(tmp_path / "tensors", format="safetensors")
    model().save(tmp_path / "one.safetensors")
    weights.push(prompt, tmp_path / pushed, train=False)
    weights.pull(prompt, tmp_path / "again")
    for name in ("weights.json", "meta.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    assert (flash / OLDER).read_bytes() == before
    assert not (flash / SCRATCH).exists()


def test_the_board_generates_from_what_was_pushed(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    only_anna().save(tmp_path / "model")
    said = weights.push(prompt, tmp_path / "model", train=False)
    assert "generates names" in said
    events = [log.parse(line) for line in run_board(flash, SETTINGS, resume=True)]
    assert not any(isinstance(event, log.Step) for event in events)
    assert events[1].text.endswith(
        "complete at step 12 of 12 from checkpoint.bin, with pushed weights"
    )
    assert events[2].text.startswith("training takes 87,253 of ")
    assert [event.text for event in events[3:]] == ["anna"] * 20


def test_the_board_trains_on_with_what_was_pushed(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    only_anna().save(tmp_path / "model")
    assert "trains on for 12 steps" in weights.push(prompt, tmp_path / "model", train=True)
    events = [log.parse(line) for line in run_board(flash, SETTINGS, resume=True)]
    assert events[1].text.endswith(
        "resumed at step 0 of 12 from checkpoint.bin, with pushed weights"
    )
    steps = [event for event in events if isinstance(event, log.Step)]
    assert [event.step for event in steps] == [0, 10, 11]
    assert steps[0].loss > 4


def test_microgpts_own_order_of_tokens_is_turned_into_the_boards(
    prompt: Remote, tmp_path: Path
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
    weights.push(prompt, tmp_path / "theirs", train=False)
    weights.pull(prompt, tmp_path / "again")
    again, expected = (tmp_path / folder / "weights.json" for folder in ("again", "ours"))
    assert again.read_bytes() == expected.read_bytes()


def test_what_no_board_can_hold_is_refused(tmp_path: Path) -> None:
    letters = ascii_lowercase
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 255)))
    for sizes, charset, special, reason in (
        ({"block_size": 257}, letters, [], "block_size 257 is above 256"),
        ({"n_embd": 4, "n_layer": 65}, letters, [], "n_layer 65 is above 64"),
        ({}, letters, ["<|user|>"], "it has the special tokens <|user|>"),
        ({}, many, [], "its 255 characters are more than 254"),
    ):
        other = microgpt.create(microgpt.ModelConfig(**sizes), charset, special_tokens=special)
        other.save(tmp_path / "model")
        with pytest.raises(ToolError) as error:
            weights.for_board(tmp_path / "model")
        assert str(error.value) == f"no board can hold {tmp_path / 'model'}: {reason}"


def test_other_characters_are_named(prompt: Remote, flash: Path, tmp_path: Path) -> None:
    before = (flash / NEWEST).read_bytes()
    for charset, message in (
        ("abcdefghijklmnopqrstuvwxy", "only the list has 'z'"),
        ("abcdefghijklmnopqrstuvwxyzä\x1b", "only the model has '\\x1b' 'ä'"),
        ("bcdefghijklmnopqrstuvwxyz!", "only the model has '!'; only the list has 'a'"),
        (f"{ascii_lowercase}0123456789A", "'0' '1' '2' '3' '4' '5' '6' '7' '8' '9' and 1 more"),
    ):
        microgpt.create(microgpt.ModelConfig(), charset).save(tmp_path / "model")
        with pytest.raises(ToolError) as error:
            weights.push(prompt, tmp_path / "model", train=False)
        assert str(error.value).endswith(message)
    assert (flash / NEWEST).read_bytes() == before
    assert not (tmp_path / "models").exists()


def test_a_checkpoint_of_another_list_is_not_misread(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    data = bytearray((flash / NEWEST).read_bytes()[:-4])
    data[36] ^= 1  # of data_crc
    changed = bytes(data) + crc32(data).to_bytes(4, "little")
    (flash / NEWEST).write_bytes(changed)
    with pytest.raises(ToolError, match="checkpoint.bin is of another list of names than the"):
        weights.pull(prompt, tmp_path / "again")
    model().save(tmp_path / "model")
    with pytest.raises(ToolError, match="make reset-training to do without"):  # no copy, no push
        weights.push(prompt, tmp_path / "model", train=False)
    assert (flash / NEWEST).read_bytes() == changed
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "models").exists()


def test_a_checkpoint_of_a_later_version_is_left_alone(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    data = bytearray((flash / NEWEST).read_bytes()[:-4])
    data[8] = 9
    changed = bytes(data) + crc32(data).to_bytes(4, "little")
    (flash / NEWEST).write_bytes(changed)
    model().save(tmp_path / "model")
    with pytest.raises(ToolError, match="checkpoint.bin has format version 9"):
        weights.pull(prompt, tmp_path / "again")
    with pytest.raises(ToolError, match="checkpoint.bin has format version 9"):
        weights.push(prompt, tmp_path / "model", train=False)
    assert (flash / NEWEST).read_bytes() == changed


def test_a_board_without_names_says_so(prompt: Remote, flash: Path, tmp_path: Path) -> None:
    names = flash / "names.bin"
    whole = names.read_bytes()
    model().save(tmp_path / "model")
    try:
        for data, message in ((whole[:40], "names.bin is cut short"), (b"?" * 99, "no names")):
            names.write_bytes(data)
            with pytest.raises(ToolError, match=message):
                weights.push(prompt, tmp_path / "model", train=False)
            with pytest.raises(ToolError, match=message):
                weights.pull(prompt)
    finally:
        names.write_bytes(whole)
    assert not (tmp_path / "models").exists()


def test_a_reset_board_starts_afresh(prompt: Remote, flash: Path) -> None:
    prompt.run(remote.FORGET)
    assert not list(flash.glob("checkpoint*"))


def test_the_selftest_passes_on_the_board(prompt: Remote) -> None:
    lines = prompt.run(SELFTEST).splitlines()
    assert lines[-1] == "selftest: 22 passed, 0 failed"
    assert sum(line.startswith("PASS ") for line in lines) == 22


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pull", "x", "--port", "nowhere"], "nowhere is not there"),
        (["push", "nothing", "--port", "virtual"], "nothing does not exist: name a model"),
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
