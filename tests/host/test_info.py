"""What `microgpt info` says of a model."""

import json
from pathlib import Path

import microgpt
import pytest
from microgpt import info, memory
from microgpt.chat.conversations import SPECIAL_TOKENS
from microgpt.tokenizer import Tokenizer
from microgpt_board.device.weights import for_board
from microgpt_board.errors import ToolError
from ugpt.adam import Adam
from ugpt.layout import Sizes
from ugpt.model import Model as BoardModel

from tests.support.commands import run


@pytest.mark.parametrize(
    "sizes", [{}, {"n_embd": 32, "n_layer": 3, "block_size": 8}, {"n_head": 2, "block_size": 40}]
)
def test_memory_on_a_board_is_what_the_device_package_allocates(sizes: dict) -> None:
    board = BoardModel(Sizes(27, **sizes))
    adam = Adam(board.params, board.grads)
    parts = [board.params, board.grads, adam.m, adam.v, *board.buffers]
    floats = sum(map(len, parts))
    assert memory.on_board(board.sizes) == 4 * floats


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def board(
    charset: str = LETTERS, special: tuple[str, ...] = (), **sizes: int | bool
) -> tuple[bool, list[str]]:
    """Return whether a new model fits the board's memory, and why it cannot be pushed."""
    config = microgpt.ModelConfig(**sizes)
    facts = info.board(microgpt.create(config, charset, special_tokens=special))
    assert facts["push"] == (not facts["reasons"])
    return facts["fits"], facts["reasons"]


def test_the_memory_that_a_board_has() -> None:
    for sizes in ({}, {"n_embd": 8, "n_layer": 2}, {"block_size": 20}):
        fits, _ = board(**sizes)
        assert fits
    for sizes in ({"n_embd": 20}, {"n_embd": 64}, {"block_size": 64}):
        fits, _ = board(**sizes)
        assert not fits


def test_what_can_be_pushed() -> None:
    assert board()[1] == []
    assert board(n_embd=8, n_layer=2)[1] == ["n_embd 8, not 16", "n_layer 2, not 1"]
    assert board(n_head=2, block_size=8)[1] == ["n_head 2, not 4", "block_size 8, not 16"]
    assert board(tie_lm_head=True)[1] == ["a tied lm_head"]
    assert board(input_rmsnorm=False)[1] == ["no norm after the embedding"]
    for charset in (LETTERS[:-1], LETTERS + " ", LETTERS[::-1]):
        tokens = f"{len(charset) + 1} tokens that are not BOS and a to z"
        assert board(charset)[1] == [tokens]
    assert board(special=SPECIAL_TOKENS)[1] == ["30 tokens that are not BOS and a to z"]


@pytest.mark.parametrize("sizes", [{}, {"n_layer": 2}, {"n_embd": 8}, {"input_rmsnorm": False}])
@pytest.mark.parametrize("charset", [LETTERS, LETTERS[1:]])
@pytest.mark.parametrize("bos", [0, -1])
def test_make_push_agrees_with_info(tmp_path: Path, sizes: dict, charset: str, bos: int) -> None:
    model = microgpt.create(microgpt.ModelConfig(**sizes), charset)
    model.tokenizer = Tokenizer(charset, bos % (len(charset) + 1))
    model.save(tmp_path / "model")
    try:
        for_board(tmp_path / "model")
        taken = True
    except ToolError:
        taken = False
    assert info.board(model)["push"] == taken


def test_the_command(chat_folder: Path, names_folder: Path) -> None:
    def said(*words: object) -> str:
        return run("info", *words).stdout

    facts = json.loads(said(names_folder, "--json"))
    assert facts["parameters"] == 4192
    assert sum(rows * columns for rows, columns in facts["matrices"].values()) == 4192
    work = memory.Work(microgpt.ModelConfig(), 27, lengths=[16])
    assert facts["memory"] == {"train": memory.to_train(work), "run": memory.to_run(work)}
    assert facts["board"] == {"fits": True, "push": True, "reasons": []}
    assert facts["special_tokens"] == []
    text = said(names_folder)
    assert "an ESP32 has the memory to train it: yes, 120 KB are free there\n" in text
    assert "make push takes it: yes\n" in text
    assert "special tokens: none\n" in text
    facts = json.loads(said(chat_folder, "--json"))
    assert facts["special_tokens"] == list(SPECIAL_TOKENS)
    assert facts["can_chat"]
    text = said(chat_folder)
    assert "special tokens: <|user|> <|assistant|> <|end_turn|>\n" in text
    assert "an ESP32 has the memory to train it: no, " in text
    assert "make push takes it: no, n_embd 32, not 16; block_size 128, not 16; " in text
