"""What travels between a board and the computer: models of any size and characters, whole."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt.tokenizer import Tokenizer
from microgpt_board.device import log, remote, weights
from microgpt_board.device.ports import VIRTUAL
from microgpt_board.device.remote import Remote
from microgpt_board.emulation import micropython
from microgpt_board.emulation.micropython import build_virtual, run_board
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source
from ugpt.checkpoint import NEWEST

from tests.support.weights import SETTINGS, assert_clean, model, saved

OTHERS = [
    {"n_embd": 24, "n_head": 3, "n_layer": 2},
    {"block_size": 8},
    {"tie_lm_head": True},
    {"input_rmsnorm": False},
    {"n_embd": 8, "n_head": 1, "block_size": 64, "tie_lm_head": True, "input_rmsnorm": False},
]


def test_any_size_comes_back_to_the_bit_and_trains_on(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    for number, sizes in enumerate(OTHERS):
        (flash / "ugpt.json").write_text(json.dumps(SETTINGS))
        pushed, again = tmp_path / "model", tmp_path / f"again-{number}"
        model(**sizes).save(pushed)
        said = weights.push(prompt, pushed, train=True)
        assert said.endswith("; its last checkpoint is checkpoint-old.bin now")
        weights.pull(prompt, again)
        for name in ("weights.json", "meta.json"):
            assert (again / name).read_bytes() == (pushed / name).read_bytes()
        assert json.loads((flash / "ugpt.json").read_text()) == SETTINGS

        lines = list(run_board(flash, SETTINGS, resume=True))
        assert any("resumed at step 0 of 12" in line for line in lines), lines[:3]
        trained = saved(flash / NEWEST)
        assert weights.unpack(trained).config == microgpt.ModelConfig(**sizes)
        assert (trained.header["step"], trained.header["origin"] & 5) == (12, 5)


def test_settings_that_contradict_the_model_follow_it(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    given = {"n_embd": 8, "n_layer": 2, "tie_lm_head": True, "lr": 0.3, "note": "mine", "seed": 7}
    (flash / "ugpt.json").write_text(json.dumps(given))
    model(n_layer=2).save(tmp_path / "model")
    said = weights.push(prompt, tmp_path / "model", train=True)
    assert said.endswith("; n_embd in ugpt.json is 16 now; tie_lm_head in ugpt.json is false now")
    settings = json.loads((flash / "ugpt.json").read_text())
    assert settings == {**given, "n_embd": 16, "tie_lm_head": False}
    header = saved(flash / NEWEST).header
    assert (header["seed"], header["steps"], header["lr"]) == (7, 1000, np.float32(0.3))
    assert_clean(flash)


def test_settings_of_no_use_are_no_obstacle(prompt: Remote, flash: Path, tmp_path: Path) -> None:
    model().save(tmp_path / "model")
    for text in ("[]", "{", '\ufeff{"lr": "a", "seed": -1}'):
        (flash / "ugpt.json").write_text(text, encoding="utf-8")
        weights.push(prompt, tmp_path / "model", train=False)
        header = saved(flash / NEWEST).header
        assert (header["seed"], header["lr"]) == (42, np.float32(0.01))
        assert (flash / "ugpt.json").read_text(encoding="utf-8") == text


def test_settings_that_no_json_can_have_are_not_rewritten(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    model().save(tmp_path / "model")
    text = '{"n_embd": 8, "lr": 1e999}'
    (flash / "ugpt.json").write_text(text)
    with pytest.raises(ToolError, match="ugpt.json must have n_embd of the model"):
        weights.push(prompt, tmp_path / "model", train=False)
    assert (flash / "ugpt.json").read_text() == text
    assert_clean(flash)
    (flash / "ugpt.json").unlink()  # the flash is that of all tests here


PLACES = ["Köln", "Ærø", "Łódź 2", "São Tomé", "日本"]


def test_a_list_with_other_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "places.txt").write_text("\n".join(PLACES), encoding="utf-8")
    flash = tmp_path / "flash"
    build_virtual(flash, names_bin.read(Source(tmp_path / "places.txt", block_size=32)))
    (flash / "ugpt.json").write_text(json.dumps(SETTINGS))
    characters = "".join(sorted(set("".join(PLACES)), key=lambda c: (-ord(c) % 7, c)))
    config = microgpt.ModelConfig(n_embd=24, n_head=3, block_size=32, tie_lm_head=True)
    for bos in (0, len(characters)):
        trained = microgpt.create(config, characters, seed=3)
        trained.tokenizer = Tokenizer(characters, bos)
        for _ in microgpt.train(trained, ["Łódź 2"], microgpt.TrainConfig(steps=60)):
            pass
        trained.save(tmp_path / "model")
        with remote.connect(VIRTUAL, flash) as board:
            weights.push(board, tmp_path / "model", train=False)
            assert "a copy first" not in capsys.readouterr().out
            weights.pull(board, tmp_path / f"again-{bos}")
        again = microgpt.load(tmp_path / f"again-{bos}")
        assert again.tokenizer.charset == "".join(sorted(characters))
        assert (again.config, again.tokenizer.bos) == (config, 0)
        tokens = again.tokenizer.encode("Köln")
        loss, _ = again.loss_and_grads(tokens)
        expected, _ = trained.loss_and_grads(trained.tokenizer.encode("Köln"))
        assert loss == pytest.approx(expected, abs=1e-6)
        events = [log.parse(line) for line in run_board(flash, SETTINGS, resume=True)]
        names = [event.text for event in events if isinstance(event, log.Name)]
        assert names == ["Łódź 2"] * 20


def test_too_little_memory_is_said_before_anything_is_sent(
    prompt: Remote, flash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (flash / NEWEST).read_bytes()
    model(n_embd=48).save(tmp_path / "model")
    monkeypatch.setattr(micropython, "HEAP", "400K")
    with (
        remote.connect(VIRTUAL, flash) as small,
        pytest.raises(
            ToolError, match=r"31,\d+ parameters \(n_embd 48, .* need [\d,]+ bytes"
        ) as error,
    ):
        weights.push(small, tmp_path / "model", train=True)
    assert "\n" not in str(error.value)
    assert (flash / NEWEST).read_bytes() == before
    assert not (tmp_path / "models").exists()
    weights.push(prompt, tmp_path / "model", train=True)  # which has the usual heap


def test_no_room_is_said_before_anything_is_sent(
    prompt: Remote, flash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "ROOM", 1 << 60)
    model().save(tmp_path / "model")
    with pytest.raises(
        ToolError, match=r"the board has [\d,]+ bytes free, a checkpoint of .* needs"
    ):
        weights.push(prompt, tmp_path / "model", train=False)
    assert not (tmp_path / "models").exists()
    assert_clean(flash)


LOST = {
    "a part": (lambda part: "pass", "what arrived is damaged"),
    "half of a part": (lambda part: part[:213] + part[-2:], "what arrived is damaged"),
    "a quote": (lambda part: part[:-2], "the board says: SyntaxError"),
    "the board's patience": (lambda part: "raise OSError(28)", "the board says: OSError"),
}


def test_a_transfer_that_fails_changes_nothing(
    prompt: Remote, flash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (flash / "ugpt.json").write_text('{"n_embd": 8}')
    before = (flash / NEWEST).read_bytes()
    model().save(tmp_path / "model")
    run_all = prompt.run_all
    for change, message in LOST.values():

        def lossy(scripts: Sequence[str], change: Callable[[str], str] = change) -> str:
            return run_all([change(code) if i == 3 else code for i, code in enumerate(scripts)])

        monkeypatch.setattr(prompt, "run_all", lossy)
        with pytest.raises(ToolError, match=message):
            weights.push(prompt, tmp_path / "model", train=False)
        assert (flash / NEWEST).read_bytes() == before
        assert (flash / "ugpt.json").read_text() == '{"n_embd": 8}'
        assert_clean(flash)


def test_an_answer_that_lost_something_is_not_taken(
    prompt: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prompt.run
    for damage in (
        lambda text: text[:500] + text[501:],
        lambda text: text.replace("A", "B", 1),
        lambda text: "\n".join(text.splitlines()[:-1]),
        lambda _: "",
    ):
        monkeypatch.setattr(prompt, "run", lambda code, damage=damage: damage(run(code)))
        with pytest.raises(ToolError, match="has not arrived whole"):
            weights.pull(prompt, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_board_with_an_older_program_is_told_so(
    prompt: Remote, flash: Path, tmp_path: Path
) -> None:
    prompt.run("import sys, ugpt\nsys.modules['ugpt.transfer'] = ugpt\nugpt.transfer = ugpt")
    with pytest.raises(ToolError, match="no program of this version: make deploy"):
        weights.pull(prompt, tmp_path / "again")


def test_a_third_of_a_checkpoint_travels(prompt: Remote, tmp_path: Path) -> None:
    sent = []
    run, run_all = prompt.run, prompt.run_all
    prompt.run = lambda code: sent.append(len(answer := run(code))) or answer
    prompt.run_all = lambda scripts: sent.append(sum(map(len, scripts))) or run_all(scripts)
    model().save(tmp_path / "model")
    weights.push(prompt, tmp_path / "model", train=False)
    weights.push(prompt, tmp_path / "model", train=False)  # not trained: nothing to copy
    encoded = 4 * 4192 * 4 // 3
    assert [size // encoded for size in sent] == [1, 1, 0, 1]


def test_what_a_board_prints_need_not_be_utf_8(prompt: Remote) -> None:
    assert prompt.run(r"import sys; _ = sys.stdout.buffer.write(b'\xc3\xbc \xfc')") == "ü \\xfc"
