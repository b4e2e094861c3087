"""What `microgpt info` says of a model."""

import json
from pathlib import Path

import microgpt
import pytest
from microgpt import boards, info, memory
from microgpt.chat.conversations import SPECIAL_TOKENS
from microgpt.tokenizer import Tokenizer
from microgpt_board.device.weights import for_board
from microgpt_board.errors import ToolError
from ugpt.layout import Sizes
from ugpt.memory import needed

from tests.support.commands import run

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHINESE = "".join(map(chr, range(0x4E00, 0x4E00 + 255)))


def board(
    charset: str = LETTERS, special: tuple[str, ...] = (), **sizes: int | bool
) -> tuple[list[str], list[str]]:
    """Return the boards that have the memory for a new model, and why it cannot be pushed."""
    config = microgpt.ModelConfig(**sizes)
    facts = info.board(microgpt.create(config, charset, special_tokens=special))
    assert facts["push"] == (not facts["reasons"])
    assert list(facts["fits"]) == list(boards.BOARDS)
    return [name for name, fits in facts["fits"].items() if fits], facts["reasons"]


def test_the_boards_that_have_the_memory() -> None:
    def esp32s(**sizes: int) -> list[str]:
        return [name for name in board(**sizes)[0] if name.startswith("ESP32")]

    every = [name for name in boards.BOARDS if name.startswith("ESP32")]
    with_psram = [name for name in every if "SPIRAM" in name]
    for sizes in ({}, {"n_embd": 8, "n_layer": 2}, {"n_embd": 20}):
        assert esp32s(**sizes) == every
    for sizes in ({"n_embd": 24}, {"n_embd": 64}, {"block_size": 64}):
        assert esp32s(**sizes) == with_psram
    assert esp32s(n_embd=128) == with_psram
    assert esp32s(n_embd=192) == with_psram[1:]
    assert board(n_embd=256)[0] == []
    assert board()[0] == list(boards.BOARDS)
    assert {"RPI_PICO2", "RPI_PICO2_W"} <= set(board(n_embd=36)[0])  # 18,072 parameters


def test_the_verdicts_share_a_line_where_the_memory_is_the_same() -> None:
    fitting, *others = boards.verdicts(Sizes(n_embd=24))
    assert fitting.startswith("it fits ESP32_GENERIC-SPIRAM (3,670,016 bytes free), ESP32_GENERIC_")
    assert "RPI_PICO2, RPI_PICO2_W (384,000 bytes free)" in fitting
    assert others[0] == (
        "too large for ESP32_GENERIC, ESP32_GENERIC_S3, ESP32_GENERIC_C3, ESP32_GENERIC_C6 "
        "(144,000 bytes free); what fits: N_EMBD=20"
    )
    assert len(boards.verdicts(Sizes())) == 1
    huge = boards.verdicts(Sizes(n_embd=1024))
    assert huge[0] == "it fits no board"
    assert len(huge) == 1 + len({each.memory for each in boards.BOARDS.values()})
    assert boards.verdicts(Sizes(100_000))[1].endswith("; what fits: no such model")


def test_what_can_be_pushed() -> None:
    for sizes in ({}, {"n_embd": 8, "n_layer": 2}, {"n_head": 2, "block_size": 256}):
        assert board(**sizes)[1] == []
    for switches in ({"tie_lm_head": True}, {"input_rmsnorm": False}):
        assert board(**switches)[1] == []
    for charset in (LETTERS[:-1], LETTERS + " ", LETTERS[::-1], "äöü!", CHINESE[:254]):
        assert board(charset)[1] == []
    assert board(block_size=257, n_layer=65, n_embd=4)[1] == [
        "n_layer 65 is above 64",
        "block_size 257 is above 256",
    ]
    assert board(CHINESE)[1] == ["its 255 characters are more than 254"]
    special = "it has the special tokens <|user|> <|assistant|> <|end_turn|>"
    assert board(special=SPECIAL_TOKENS)[1] == [special]


@pytest.mark.parametrize("sizes", [{}, {"n_layer": 65, "n_embd": 4}, {"block_size": 300}])
@pytest.mark.parametrize("charset", [LETTERS, CHINESE])
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
    there = dict.fromkeys(boards.BOARDS, True)
    expected = {"bytes": needed(Sizes()), "fits": there, "push": True, "reasons": []}
    assert facts["board"] == expected
    assert facts["special_tokens"] == []
    text = said(names_folder)
    assert f"memory: {needed(Sizes()):,} bytes to train on a board\n" in text
    assert "\nit fits ESP32_GENERIC, ESP32_GENERIC_S3, " in text
    assert "make push takes it: yes\n" in text
    assert "special tokens: none\n" in text
    facts = json.loads(said(chat_folder, "--json"))
    assert facts["special_tokens"] == list(SPECIAL_TOKENS)
    assert facts["can_chat"]
    text = said(chat_folder)
    assert "special tokens: <|user|> <|assistant|> <|end_turn|>\n" in text
    assert " bytes free); what fits: " in text
    assert "make push takes it: no, it has the special tokens <|user|> <|assistant|> " in text
