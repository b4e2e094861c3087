"""A model's folder: written atomically, and every malformed file refused in one line."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import microgpt
import numpy as np
import pytest
from microgpt import ModelFolderError, files, model_io
from microgpt.chat.conversations import SPECIAL_TOKENS


@pytest.fixture
def model() -> microgpt.Model:
    return microgpt.create(microgpt.ModelConfig(), seed=7)


@pytest.mark.parametrize("engine", ["tensor", "scalar"])
@pytest.mark.parametrize("tied", [False, True])
def test_what_is_saved_is_loaded(tmp_path: Path, engine: str, tied: bool) -> None:
    config = microgpt.ModelConfig(n_embd=6, n_head=2, n_layer=2, block_size=3, tie_lm_head=tied)
    model = microgpt.create(config, "xyz", engine=engine, dtype="float64")
    model.save(tmp_path / "m")
    again = microgpt.load(tmp_path / "m", engine=engine, dtype="float64")
    assert again.config == config
    assert again.tokenizer.charset == "xyz"
    for name, matrix in model.weights.items():
        assert (again.weights[name] == matrix).all()


def test_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    microgpt.create(microgpt.ModelConfig()).save(tmp_path / "m")
    for dtype in ("steam", "int8"):
        with pytest.raises(microgpt.ConfigError, match=f"dtype must be one of .*, not '{dtype}'"):
            microgpt.load(tmp_path / "m", dtype=dtype)


def test_the_files_are_the_designs(tmp_path: Path, model: microgpt.Model) -> None:
    model.save(tmp_path / "m")
    weights = json.loads((tmp_path / "m" / "weights.json").read_text())
    assert list(weights) == [name for name, _, _ in model.table]
    assert np.array(weights["layer0.mlp_fc1"]).shape == (64, 16)
    assert json.loads((tmp_path / "m" / "meta.json").read_text()) == {
        "vocab_size": 27,
        "charset": "abcdefghijklmnopqrstuvwxyz",
        "bos": 0,
        "special_tokens": [],
        "n_embd": 16,
        "n_head": 4,
        "n_layer": 1,
        "block_size": 16,
        "tie_lm_head": False,
        "input_rmsnorm": True,
    }


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_without_bos_it_is_the_last_token(tmp_path: Path, model: microgpt.Model) -> None:
    model.save(tmp_path / "m")
    edit(tmp_path / "m" / "meta.json", lambda meta: meta.pop("bos"))
    assert microgpt.load(tmp_path / "m").tokenizer.bos == 26


BROKEN_WEIGHTS = {
    "wpe is missing": lambda w: w.pop("wpe"),
    "lm_head has shape (26, 16), expected (27, 16)": lambda w: w["lm_head"].pop(),
    "wte is not a matrix of numbers": lambda w: w["wte"][0].pop(),
    "layer0.attn_wq has a value that is not finite": lambda w: w["layer0.attn_wq"][0].__setitem__(
        0, float("nan")
    ),
    "wpe has a value that is not finite": lambda w: w["wpe"][0].__setitem__(0, 1e300),
    "lm_head is not a matrix of numbers": lambda w: w["lm_head"][0].__setitem__(0, 10**400),
    "layer0.attn_wo is not a matrix": lambda w: w["layer0.attn_wo"][2].__setitem__(3, "x"),
    "layer9.attn_wq is not a matrix of this model": lambda w: w.update({"layer9.attn_wq": []}),
}
BROKEN_META = {
    "no charset": lambda m: m.pop("charset"),
    "vocab_size is 30": lambda m: m.update(vocab_size=30),
    "bos must be": lambda m: m.update(bos=5),
    "bos must be a whole number": lambda m: m.update(bos=0.0),
    "not divisible": lambda m: m.update(n_head=3),
    "n_embd must be a whole number": lambda m: m.update(n_embd="16"),
    "tie_lm_head must be": lambda m: m.update(tie_lm_head=1),
}


@pytest.mark.parametrize("message", BROKEN_WEIGHTS)
def test_broken_weights_are_named(tmp_path: Path, model: microgpt.Model, message: str) -> None:
    model.save(tmp_path / "m")
    edit(tmp_path / "m" / "weights.json", BROKEN_WEIGHTS[message])
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(tmp_path / "m")
    assert message in str(error.value)
    assert "weights.json" in str(error.value)


@pytest.mark.parametrize("message", BROKEN_META)
def test_broken_meta_is_named(tmp_path: Path, model: microgpt.Model, message: str) -> None:
    model.save(tmp_path / "m")
    edit(tmp_path / "m" / "meta.json", BROKEN_META[message])
    with pytest.raises(ModelFolderError) as error:
        microgpt.load(tmp_path / "m")
    assert message in str(error.value)
    assert "meta.json" in str(error.value)


@pytest.mark.parametrize("name", ["weights.json", "meta.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", b"\xff\xfe", "[" * 100_000])
def test_broken_json_is_named(
    tmp_path: Path, model: microgpt.Model, name: str, content: str | bytes
) -> None:
    model.save(tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ModelFolderError, match=name):
        microgpt.load(tmp_path / "m")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="cannot read"):
        microgpt.load(tmp_path / "nothing")


class Killed(BaseException):
    """What stops a save in the middle."""


@pytest.mark.parametrize("kill_at", range(1, 12))  # a save makes 9 of these calls
def test_a_save_cut_short_loses_nothing(
    tmp_path: Path, model: microgpt.Model, kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m"
    model.save(target)
    other = microgpt.create(microgpt.ModelConfig(), seed=8)
    calls = 0

    def counted(function: Callable) -> Callable:
        def call(*arguments: object, **keywords: object) -> object:
            nonlocal calls
            calls += 1
            if calls == kill_at:
                raise Killed
            return function(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        for owner, name in (
            (os, "fsync"),
            (Path, "rename"),
            (Path, "replace"),
            (model_io.json, "dump"),
            (files.shutil, "rmtree"),
        ):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        try:
            other.save(target)
            finished = True
        except Killed:
            finished = False
    loaded = microgpt.load(target).weights["wte"]
    old, new = model.weights["wte"], other.weights["wte"]
    assert (loaded == new).all() if finished else (loaded == old).all() or (loaded == new).all()


def test_a_runs_model_is_found_and_put_back(tmp_path: Path, model: microgpt.Model) -> None:
    model.save(tmp_path / "run" / "model")
    assert microgpt.load(tmp_path / "run").config == model.config
    (tmp_path / "run" / "model").rename(tmp_path / "run" / "model.old")  # as a kill leaves it
    assert microgpt.load(tmp_path / "run").config == model.config


def test_the_folder_may_be_the_current_one(
    tmp_path: Path, model: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / ".DS_Store").write_text("")
    monkeypatch.chdir(tmp_path / "m")
    model.save(".")
    assert microgpt.load(tmp_path / "m").config == model.config


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path, model: microgpt.Model) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelFolderError, match="other files"):
        model.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_special_tokens_are_in_meta_json_and_come_back(chat_folder: Path) -> None:
    meta = json.loads((chat_folder / "meta.json").read_text())
    assert meta["special_tokens"] == list(SPECIAL_TOKENS)
    assert meta["vocab_size"] == len(meta["charset"]) + 4
    tokenizer = microgpt.load(chat_folder).tokenizer
    first = len(meta["charset"]) + 1
    assert [tokenizer.special(name) for name in SPECIAL_TOKENS] == [first, first + 1, first + 2]


@pytest.mark.parametrize("special", ["<|user|>", [1], [""], ["<|user|>", "<|user|>"]])
def test_malformed_special_tokens_are_refused(
    chat_folder: Path, tmp_path: Path, special: object
) -> None:
    meta = json.loads((chat_folder / "meta.json").read_text()) | {"special_tokens": special}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(microgpt.ModelFolderError, match="special_tokens must be"):
        microgpt.load(tmp_path)
