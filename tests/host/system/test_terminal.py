"""Text that the program did not write itself never drives a terminal."""

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import microgpt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.chat.conversations import SPECIAL_TOKENS
from microgpt.system.terminal import printable

from tests.support.commands import microgpt_board, read_terminal, run

MICROGPT = str(Path(sys.executable).with_name("microgpt"))
CLEAR = "\x1b[2J"  # what a terminal obeys: it clears the screen
SMALL = microgpt.ModelConfig(n_embd=4, n_head=1, block_size=8)


def test_control_characters_are_text() -> None:
    assert printable("\x1b]0;title\x07\x9b2J\r\b\t\u202e\x7f\n\u2028\u2066\ud800") == (
        "\\x1b]0;title\\x07\\x9b2J\\r\\x08\\t\\u202e\\x7f\\n\\u2028\\u2066\\ud800"
    )


@pytest.mark.parametrize(
    "text",
    ["plain text, hélène", "10\u202f000\u00a0€", "明日\u3000", "👩\u200d🚀", "می\u200cخواهم"],
)
def test_text_of_any_language_stays(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters(codec=None)))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & {"LRE", "RLO", "LRI", "PDF", "PDI"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that generates the character that begins a terminal's commands, and has it in all."""
    made = microgpt.create(SMALL, "\x1b\n", special_tokens=("<\x1b[2J>", *SPECIAL_TOKENS))
    made.weights["lm_head"][:] = 0
    made.weights["lm_head"][1:3] = [[1], [0.9]]
    made.weights["wte"][:] = 1
    made.weights["wpe"][:] = 0
    folder = tmp_path / f"model{CLEAR}"
    made.save(folder)
    return folder


def on_a_terminal(*words: object, said: bytes = b"") -> bytes:
    """Return what a command shows on a terminal, its errors too, without rich's own colours."""
    terminal, side = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    command = [MICROGPT, *map(str, words)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=side, stderr=side, env=environment
    )
    os.close(side)
    process.stdin.write(said)
    process.stdin.close()
    output = read_terminal(terminal)
    process.wait()
    assert output
    return output


def test_generate_on_a_terminal_shows_a_document_as_one_line(model: Path) -> None:
    output = on_a_terminal("generate", model, "-n", 5, "--temperature", 1)
    assert b"\x1b" not in output
    lines = output.decode().splitlines()
    assert len(lines) == 5
    assert "\\x1b" in "".join(lines)
    assert "\\n" in "".join(lines)


def test_generate_into_a_pipe_gives_the_text_as_it_is(model: Path) -> None:
    command = [MICROGPT, "generate", str(model), "-n", "5", "--temperature", "1"]
    output = subprocess.run(command, capture_output=True).stdout.decode()
    documents = microgpt.generate(microgpt.load(model), 5, 1)
    assert output == "".join(document + "\n" for document in documents)
    assert "\x1b" in output


def test_a_lone_surrogate_can_be_generated(tmp_path: Path) -> None:
    microgpt.create(SMALL, "\ud800").save(tmp_path / "m")
    command = [MICROGPT, "generate", tmp_path / "m", "-n", "3", "--temperature", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\ud800" in result.stdout


def test_chat_on_a_terminal(model: Path) -> None:
    said = b"\x1b[2J\n/save /no\x1b[2J/x\n/temperature \x1b[2J\n/\x1b[2J\n"
    output = on_a_terminal("chat", model, "--temperature", 1, said=said)
    assert b"\x1b" not in output
    assert b"\\x1b" in output


def test_info_shows_special_tokens_and_folder_names(model: Path) -> None:
    assert "<\\x1b[2J>" in run("info", model).stdout
    assert "\x1b" not in run("info", model).stdout


@pytest.mark.parametrize("place", ["matrix", "charset", "file"])
def test_errors_about_a_model_file(model: Path, place: str) -> None:
    weights, meta = (
        json.loads((model / name).read_text()) for name in ("weights.json", "meta.json")
    )
    if place == "matrix":
        weights[f"layer{CLEAR}"] = [[1]]
        (model / "weights.json").write_text(json.dumps(weights))
    if place == "charset":
        meta["bos"] = CLEAR
        (model / "meta.json").write_text(json.dumps(meta))
    if place == "file":
        (model / "meta.json").write_text(f'{{"{CLEAR}')
    for words in (["generate", model], ["--debug", "info", model]):
        errors = run(*words, code=1).stderr
        assert "\x1b" not in errors
        assert "\\x1b[2J" in errors


def test_names_of_files_and_runs(tmp_path: Path) -> None:
    (tmp_path / f"data{CLEAR}").write_text("ab\nba\n")
    words = ["train", "--data", tmp_path / f"data{CLEAR}", "--steps", 1]
    result = run(*words, "--out", tmp_path / f"run{CLEAR}")
    assert "the run is in " in result.stdout
    assert "run\\x1b[2J" in result.stdout
    for result in (
        run("train", "--data", f"none{CLEAR}", code=1),
        run("gradcheck", "--document", CLEAR, "--n-embd", f"{CLEAR}", code=2),
        microgpt_board(f"fly{CLEAR}"),
        microgpt_board("names", f"none{CLEAR}", "out"),
    ):
        assert "\x1b" not in result.stdout + result.stderr
        assert "\\x1b[2J" in result.stderr


def test_markup_and_emoji_codes_in_a_name_are_text(tmp_path: Path) -> None:
    folder = tmp_path / "[red]:skull:"
    assert str(folder) in run("train", "--steps", 1, "--out", folder).stdout
