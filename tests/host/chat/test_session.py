"""Chat: learned by heart, a KV cache that grows, the oldest turns dropped, a terminal."""

import io
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import microgpt
import pexpect
import pytest
from microgpt.chat import prompt as repl
from microgpt.chat.session import Chat
from microgpt.conversations import CONVERSATIONS, SPECIAL_TOKENS, Message, read_conversations
from microgpt.sampling import draw


def ask(chat: Chat, text: str) -> str:
    chat.say(Message("user", text))
    return "".join(chat.reply())


def test_greedy_replies_of_a_model_that_memorised_are_exact(memorised: microgpt.Model) -> None:
    talks, _ = read_conversations(CONVERSATIONS)
    for talk in talks:
        chat = Chat(memorised, temperature=0)
        for question, answer in zip(talk[::2], talk[1::2], strict=True):
            assert ask(chat, question.content) == answer.content
        assert chat.messages == talk


def counted(model: microgpt.Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that every token which `model` computes from now on is appended to."""
    tokens: list[int] = []
    original = model.decoder

    def decoder():
        step = original()

        def record(token: int):
            tokens.append(token)
            return step(token)

        return record

    monkeypatch.setattr(model, "decoder", decoder)
    return tokens


def test_every_token_is_computed_once_while_the_block_has_room(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, temperature=0)
    said = []
    for text in ("hi", "ada"):
        said += [f"<|user|>{text}<|end_turn|><|assistant|>", ask(chat, text), "<|end_turn|>"]
    decode = memorised.tokenizer.decode
    # The end of the last turn is computed when the next one is.
    assert decode(computed, special=True) == "".join(said).removesuffix("<|end_turn|>")


def test_the_oldest_turns_go_when_the_block_is_full(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, temperature=0)
    for text in ("what is a loss?", "what is attention?", "what is python?", "what is a token?"):
        ask(chat, text)
    assert computed.count(memorised.tokenizer.bos) > 1  # from the beginning once more
    assert len(chat.messages) == 8  # nothing is forgotten of what is shown or saved
    tokens = [token for turn in chat._turns for token in turn]
    assert len(tokens) < memorised.config.block_size
    kept = memorised.tokenizer.decode(tokens, special=True)
    assert kept.startswith("<|user|>")
    assert kept.startswith("<|user|>what is a token?<|end_turn|>", kept.rindex("<|user|>"))


def test_dropping_hundreds_of_turns_begins_the_cache_once(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat(memorised, temperature=0)
    for _ in range(200):
        chat.say(Message("user", "hi"))
        chat.say(Message("assistant", "hello! what is your name?"))
    chat.say(Message("user", "thanks"))
    begun = []
    original = memorised.decoder
    monkeypatch.setattr(memorised, "decoder", lambda: begun.append(1) or original())
    assert "".join(itertools.islice(chat.reply(), 5))
    assert len(begun) == 1
    kept = memorised.tokenizer.decode([t for turn in chat._turns for t in turn], special=True)
    assert kept.startswith("<|user|>hi<|end_turn|>")
    assert len(chat._turns) > 4


def test_whoever_waits_can_give_up_between_any_two_tokens(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, temperature=0)
    chat.say(Message("user", "what is a loss?"))

    def check() -> None:
        if len(computed) == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(chat.reply(check))
    assert len(computed) == 3


def test_a_cache_after_dropping_gives_what_a_new_chat_with_those_turns_gives(
    memorised: microgpt.Model,
) -> None:
    questions = ["who are you?", "what is a loss?", "hi", "ada", "help", "bye"]
    old = Chat(memorised, temperature=0)
    for text in questions:
        ask(old, text)
    decode = memorised.tokenizer.decode
    new = Chat(memorised, temperature=0)
    for turn in old._turns:
        role = decode(turn[:1], special=True).strip("<|>")
        new.say(Message(role, decode(turn)))
    assert ask(old, "good night") == ask(new, "good night")


def test_a_reply_ends_with_the_block() -> None:
    config = microgpt.ModelConfig(block_size=12)
    model = microgpt.create(config, "ab", special_tokens=SPECIAL_TOKENS)
    for name in SPECIAL_TOKENS:
        model.weights["lm_head"][model.tokenizer.special(name)] = 0
    model.weights["lm_head"][0] = 0
    chat = Chat(model, temperature=0.01, seed=1)
    for text in ("a", "ab" * 4, "b"):
        reply = ask(chat, text)
        assert len(reply) <= 12 - 4 - len(text) + 1
        assert set(reply) <= set("ab")


def test_a_message_that_cannot_be_said(memorised: microgpt.Model) -> None:
    chat = Chat(memorised)
    with pytest.raises(ValueError, match="'Ü' in 'Ü' is not in the vocabulary"):
        chat.say(Message("user", "Ü"))
    with pytest.raises(ValueError, match="at most 124 characters here, not 125"):
        chat.say(Message("user", "a" * 125))
    assert chat.messages == []
    assert ask(chat, "a" * 124) is not None


def test_the_seed_fixes_replies_and_reset_begins_again(memorised: microgpt.Model) -> None:
    chats = [Chat(memorised, temperature=6, seed=seed) for seed in (1, 1, 2)]
    first, second, other = ([ask(chat, text) for text in ("hi", "ada")] for chat in chats)
    assert first == second != other
    chats[0].reset()
    assert chats[0].messages == []
    assert [ask(chats[0], text) for text in ("hi", "ada")] == first


def test_a_reply_that_is_stopped_stays_in_the_conversation(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(memorised, monkeypatch)
    chat = Chat(memorised, temperature=0)
    chat.say(Message("user", "hi"))
    reply = chat.reply()
    pieces = list(itertools.islice(reply, 5))
    reply.close()
    assert (
        chat.messages[-1] == Message("assistant", "".join(pieces)) == Message("assistant", "hello")
    )
    ask(chat, "good night")
    assert computed.count(memorised.tokenizer.bos) == 1


def test_ctrl_c_in_the_middle_of_a_token_does_not_break_the_cache(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat(memorised, temperature=0)
    step = chat._decoder._step
    calls = itertools.count()

    def interrupted(token: int):
        logits = step(token)
        if next(calls) == 7:
            raise KeyboardInterrupt
        return logits

    monkeypatch.setattr(chat._decoder, "_step", interrupted)
    chat.say(Message("user", "hi"))
    with pytest.raises(KeyboardInterrupt):
        list(chat.reply())
    chat.reset()
    assert ask(chat, "hi") == "hello! what is your name?"


def test_who_may_not(names_folder: Path, memorised: microgpt.Model) -> None:
    with pytest.raises(ValueError, match="train --chat"):
        Chat(microgpt.load(names_folder))
    for temperature in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            Chat(memorised, temperature)


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
    chat = Chat(memorised, temperature=0)
    original = chat.reply

    def silent_at_bye():
        if chat.messages[-1].content == "bye":
            monkeypatch.setattr(chat._decoder, "_step", interrupted)
        return original()

    def interrupted(token: int):
        raise KeyboardInterrupt

    monkeypatch.setattr(chat, "reply", silent_at_bye)
    repl.talk(chat)
    assert "error: there is no reply to save yet" in capsys.readouterr().err
    assert [message.content for message in chat.messages].count("") == 2
    saved, malformed = read_conversations(tmp_path / "a.jsonl")
    assert not malformed
    assert [[message.content for message in line][::2] for line in saved] == [["hi"], ["hi", "ada"]]


def test_draw_at_the_edges() -> None:
    assert draw([1.0, 3.0, 2.0], 0, None) == 1
    assert draw([1.0, 3.0, 2.0], 1e-320, random.Random(0)) == 1


# The terminal: a real one, and a pipe.


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
    child.send("Ü\r")
    child.expect("error: 'Ü' in 'Ü' is not in the vocabulary")
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
