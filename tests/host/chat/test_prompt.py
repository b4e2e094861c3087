"""The prompt of `microgpt chat`: a real terminal, a pipe, and what it saves."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import microgpt
import pexpect
import pytest
from microgpt.chat import prompt
from microgpt.chat.conversations import Message
from microgpt.chat.forms import read_conversations
from microgpt.chat.session import Chat
from microgpt.sampling import Sampling

from tests.support.commands import run


def test_what_is_saved_can_be_trained_on_whatever_was_replied(
    memorised: microgpt.Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """Exchanges without a reply, by the model's choice or by Ctrl-C's, are left out."""
    said = "bye\n/save a.jsonl\nhi\nbye\n/save a.jsonl\nada\n/save a.jsonl\n"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    chat = Chat(memorised, Sampling(0))
    original = chat.reply

    def silent_at_bye():
        if chat.messages[-1].content == "bye":
            monkeypatch.setattr(chat._decoder, "_step", interrupted)
        return original()

    def interrupted(token: int):
        raise KeyboardInterrupt

    monkeypatch.setattr(chat, "reply", silent_at_bye)
    prompt.talk(chat)
    assert "error: there is no reply to save yet" in capsys.readouterr().err
    assert [message.content for message in chat.messages].count("") == 2
    saved, malformed = read_conversations(tmp_path / "a.jsonl")
    assert not malformed
    assert [[message.content for message in line][::2] for line in saved] == [["hi"], ["hi", "ada"]]


def command(*words: object) -> list[str]:
    return [str(Path(sys.executable).with_name("microgpt")), *map(str, words)]


def test_a_terminal(chat_folder: Path, tmp_path: Path) -> None:
    program, *arguments = command("chat", chat_folder, "--temperature", 0)
    child = pexpect.spawn(
        program, arguments, cwd=str(tmp_path), encoding="utf-8", timeout=60, dimensions=(24, 100)
    )
    child.expect("you> ")
    child.send("hi\r")
    child.expect("hello! what is your name\\?")
    child.expect("you> ")
    child.send("\x1b[A\r")  # arrow up: the line before
    child.expect("\r\n[a-z]")
    child.expect("you> ")
    child.send("/temperature 0.75\r")
    child.expect("temperature 0.75")
    child.expect("you> ")
    child.send("/save talk.jsonl\r")
    child.expect("4 messages appended to talk.jsonl")
    child.expect("you> ")
    child.send("/reset\r")
    child.expect("a new conversation")
    child.expect("you> ")
    child.send("\N{GRINNING FACE}\r")
    child.expect("error: '\N{GRINNING FACE}' is not in the vocabulary: the model knows 2 3 a-p r-z")
    child.expect("you> ")
    child.send("\x03")
    child.expect("you> ")
    child.send("\x04")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    saved, malformed = read_conversations(tmp_path / "talk.jsonl")
    assert not malformed
    assert [message.content for message in saved[0]][:2] == ["hi", "hello! what is your name?"]


def test_a_pipe(chat_folder: Path, tmp_path: Path) -> None:
    lines = "hi\n\n/what\n/temperature warm\n/save\n/save no/a\n/help\nbye\n/quit\nnever read\n"
    result = subprocess.run(
        command("chat", chat_folder, "--temperature", 0),
        input=lines,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0
    assert result.stdout.startswith(
        "hello! what is your name?\n2 messages appended to chat.jsonl\n/reset"
    )
    assert result.stderr.splitlines() == [
        "error: /what is not a command: /help lists them",
        "error: warm is not a number",
        "error: cannot write no/a: No such file or directory",
    ]
    assert len(json.loads((tmp_path / "chat.jsonl").read_text())) == 2


@pytest.mark.parametrize("word", ["/quit", "/exit", "quit", "exit", "Exit"])
def test_words_that_leave(memorised: microgpt.Model, word: str) -> None:
    assert said(memorised, f"{word}\nhi\n") == []


@pytest.mark.parametrize("word", ["/help", "help", "Help"])
def test_words_that_help(memorised: microgpt.Model, word: str) -> None:
    assert said(memorised, f"{word}\n") == prompt.HELP.splitlines()


def test_the_fields_of_sampling_are_shown_and_set(
    memorised: microgpt.Model, capsys: pytest.CaptureFixture
) -> None:
    lines = (
        "/top_k\n/top_k 1\n/TOP-P 0.9\n/min_p .05\n/repetition_penalty 1.0\n/temperature 50\nhi\n"
    )
    assert said(memorised, lines) == [
        "top_k 0",
        "top_k 1",
        "top_p 0.9",
        "min_p 0.05",
        "repetition_penalty 1",
        "temperature 50",
        "hello! what is your name?",
    ]
    assert said(memorised, "/top_k 2.5\n/top_p 2\n/min_p x\n/top_p\n") == ["top_p 1"]
    assert capsys.readouterr().err.splitlines() == [
        "error: 2.5 is not a whole number",
        "error: top_p must be a number from 0 to 1, not 2.0",
        "error: x is not a number",
    ]


def test_a_command_s_word_can_be_said(memorised: microgpt.Model) -> None:
    (reply,) = said(memorised, "/say help\n/say\n")
    assert reply.startswith("say hi, or ask what a token")


def test_capitals_are_answered(memorised: microgpt.Model) -> None:
    assert said(memorised, "Hi\n") == ["hello! what is your name?"]


def said(model: microgpt.Model, lines: str) -> list[str]:
    """Return the lines that a chat prints for these lines from a pipe."""
    printed = io.StringIO()
    with mock.patch.object(sys, "stdin", io.StringIO(lines)), redirect_stdout(printed):
        prompt.talk(Chat(model, Sampling(0)))
    return printed.getvalue().splitlines()


def test_a_programming_error_is_not_an_error_of_the_user(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a mistake in the program")

    chat = Chat(memorised, Sampling(0))
    monkeypatch.setattr(chat, "say", broken)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\n"))
    with pytest.raises(ValueError, match="a mistake in the program"):
        prompt.talk(chat)


def test_what_the_system_says(told: microgpt.Model, chat_folder: Path, tmp_path: Path) -> None:
    """It is saved with the conversation, and said again after /reset."""
    told.save(tmp_path / "told")
    lines = "a\n/save\n/reset\nab\n/save\n"
    result = subprocess.run(
        command("chat", "told", "--temperature", 0, "--system", "ab"),
        input=lines,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.stderr == ""
    talks, malformed = read_conversations(tmp_path / "chat.jsonl")
    assert not malformed
    assert [talk[0] for talk in talks] == [Message("system", "ab")] * 2
    assert [talk[1].content for talk in talks] == ["a", "ab"]
    assert [len(talk) for talk in talks] == [3, 3]
    refused = run("chat", chat_folder, "--system", "hi", code=1)
    assert "trained on conversations without a system turn: leave it out" in refused.stderr


EXCHANGE = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]'


def test_save_appends_a_line_also_after_one_without_an_end(
    memorised: microgpt.Model, tmp_path: Path
) -> None:
    path = tmp_path / "talk.jsonl"
    for before, lines in ((EXCHANGE, 2), (EXCHANGE + "\n", 2), ("", 1)):
        path.write_text(before)
        said(memorised, f"hi\n/save {path}\n/save {path}\n")
        talks, malformed = read_conversations(path)
        assert not malformed
        assert len(talks) == len(path.read_text().splitlines()) == lines + 1


def test_save_in_the_home_folder(
    memorised: microgpt.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    said(memorised, "hi\n/save ~/talk.jsonl\n")
    assert len(read_conversations(tmp_path / "talk.jsonl")[0]) == 1


def test_save_to_what_is_no_path(memorised: microgpt.Model, capsys: pytest.CaptureFixture) -> None:
    lines = "hi\n/save a\0b\n/save ~nobody-of-this-name/a\nhi\n"
    assert len(said(memorised, lines)) == 2
    null, nobody = capsys.readouterr().err.splitlines()
    assert null == r"error: 'a\x00b' is not a path"
    assert nobody.startswith("error: '~nobody-of-this-name/a' is not a path")
