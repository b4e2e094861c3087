"""Conversations from JSON Lines, and as documents."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import microgpt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.chat.conversations import (
    END_TURN,
    SPECIAL_TOKENS,
    Message,
    can_chat,
    chat_documents,
    conversation_document,
    read_conversations,
)
from microgpt.chat.session import Chat
from microgpt.cli.train import train_command
from microgpt.data import DataError
from microgpt.sampling import Sampling
from microgpt.tokenizer import Tokenizer
from microgpt.training import split

from tests.support.commands import run
from tests.support.models import TALKS

LETTERS = "abcdefghijklmnopqrstuvwxyz <|>_"
TOKENIZER = Tokenizer(LETTERS, special_tokens=SPECIAL_TOKENS)
USER, ASSISTANT, END = (TOKENIZER.special(name) for name in SPECIAL_TOKENS)


def talk(*contents: str) -> list[Message]:
    return [Message(("user", "assistant")[i % 2], text) for i, text in enumerate(contents)]


def line(*contents: str) -> str:
    return json.dumps([vars(message) for message in talk(*contents)])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("[", "not JSON: Expecting value at column 2"),
        ('{"role": "user", "content": "hi"}', "not an array of messages"),
        ("[]", "no message of the assistant"),
        ("[1]", "message 1 is not an object of role and content"),
        ('[{"role": "user"}]', "message 1 is not an object of role and content"),
        ('[{"role": "system", "content": "hi"}]', "message 1 has the role 'system'"),
        ('[{"role": ["user"], "content": "hi"}]', "message 1 has the role ['user']"),
        ('[{"role": "user", "content": 7}]', "message 1 has no text as its content"),
        ('[{"role": "user", "content": ""}]', "message 1 has no text as its content"),
        ('[{"role": "user", "content": "\\ud800"}]', "message 1 holds half a character"),
        ('[{"role": "user", "content": "hi"}]', "no message of the assistant"),
        ('[{"role": "assistant", "content": "hi"}]', "message 1 is the assistant's"),
        (line("a", "b", "c").replace("assistant", "user"), "message 2 is the user's"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_malformed_lines_are_reported_by_number(tmp_path: Path, broken: str, reason: str) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_text(f"{line('hi', 'hello')}\n\n{broken}\n{line('a', 'b')}\n")
    conversations, malformed = read_conversations(path)
    assert conversations == [talk("hi", "hello"), talk("a", "b")]
    assert [problem.line for problem in malformed] == [3]
    assert malformed[0].reason.startswith(reason)


def test_a_line_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_bytes(line("hi", "hello").encode() + b'\n[{"role": "user", "content": "\xff"}]\n')
    _, malformed = read_conversations(path)
    assert str(malformed[0]) == "line 2: not UTF-8 text"


def test_a_file_without_any(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_text("hello\n")
    with pytest.raises(DataError, match="no conversations: line 1: not JSON"):
        read_conversations(path)
    with pytest.raises(DataError, match="cannot read"):
        read_conversations(tmp_path / "nothing")


def test_a_document_token_by_token() -> None:
    doc, used = conversation_document(
        TOKENIZER, talk("a", "bc"), block_size=16, assistant_only=True
    )
    assert doc.tokens == [0, USER, 1, END, ASSISTANT, 2, 3, END, 0]
    assert used == 2
    # Whether the token after it counts: b, c and the end of the assistant's turn do.
    assert doc.mask == [False, False, False, False, True, True, True, False]
    everything, _ = conversation_document(TOKENIZER, talk("a", "bc"), block_size=16)
    assert everything.tokens == doc.tokens
    assert everything.mask is None


@given(
    contents=st.lists(st.text("ab ", min_size=1, max_size=12), min_size=2, max_size=9),
    block_size=st.integers(4, 80),
)
def test_a_cut_is_at_a_turn(contents: list[str], block_size: int) -> None:
    conversation = talk(*contents)
    try:
        doc, used = conversation_document(TOKENIZER, conversation, block_size, assistant_only=True)
    except ValueError:
        assert len(contents[0]) + len(contents[1]) + 4 > block_size
        return
    assert len(doc.tokens) <= block_size + 1
    assert len(doc.mask or []) == len(doc.tokens) - 1
    body = doc.tokens[1:-1] if doc.tokens[-1] == 0 else doc.tokens[1:]
    assert body[-1] == END
    said = "".join(f"<|{m.role}|>{m.content}{END_TURN}" for m in conversation[:used])
    assert TOKENIZER.decode(body, special=True) == said
    following = conversation[used : used + 2]
    if len(following) == 2:  # the next exchange would not have fitted
        assert len(body) + 1 + sum(len(m.content) + 2 for m in following) > block_size + 1


def test_special_tokens_in_a_text_are_its_characters() -> None:
    doc, _ = conversation_document(TOKENIZER, talk("<|user|>", "<|end_turn|>"), block_size=64)
    assert [t for t in doc.tokens if t > len(LETTERS)] == [USER, END, ASSISTANT, END]


def test_conversations_too_long_are_counted() -> None:
    talks = [talk("a", "b", "a", "b"), talk("a" * 50, "b"), talk("a", "b")]
    chats = chat_documents(TOKENIZER, talks, block_size=10)
    assert (len(chats.documents), chats.cut, chats.too_long) == (2, 1, 1)
    with pytest.raises(DataError, match="--block-size"):
        chat_documents(TOKENIZER, talks, block_size=4)


def test_who_can_chat() -> None:
    assert can_chat(TOKENIZER)
    assert not can_chat(Tokenizer("abc"))
    assert not can_chat(Tokenizer("abc", special_tokens=[END_TURN]))


# The command line.


def test_train_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*words: object, code: int = 0) -> CompletedProcess[str]:
        command = ["train", "--chat", "--steps", 5, "--block-size", 40, *words]
        return run(*command, cwd=tmp_path, code=code)

    good = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]\n'
    data = tmp_path / "talks.jsonl"
    data.write_text(good + "[]\nx\n" + good)
    loose = train("--data", data, "--out", "loose", "--assistant-only")
    assert "talks.jsonl, line 2: no message of the assistant" in loose.stderr
    assert "talks.jsonl, line 3: not JSON" in loose.stderr
    assert microgpt.load(tmp_path / "loose").tokenizer.special_tokens == SPECIAL_TOKENS
    monkeypatch.setenv("RANK", "1")  # one of several processes: what it says, rank 0 says too
    assert train("--data", data, "--out", "second").stderr == ""
    monkeypatch.delenv("RANK")
    strict = train("--data", data, "--out", "strict", "--strict", code=1)
    assert strict.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "strict").exists()
    shipped = train("--out", "shipped")
    assert "cut at a turn" in shipped.stderr
    run("train", "--strict", cwd=tmp_path, code=1)


def test_train_chat_makes_a_model_that_chats(tmp_path: Path) -> None:
    run("train", "--chat", "--data", TALKS, "--out", "talk", cwd=tmp_path)
    model = microgpt.load(tmp_path / "talk")
    talks, _ = read_conversations(TALKS)
    for conversation in talks:
        chat = Chat(model, Sampling(0))
        for question, answer in zip(conversation[::2], conversation[1::2], strict=True):
            chat.say(question)
            assert "".join(chat.reply()) == answer.content


def test_options_that_are_given_win_over_the_defaults_of_chat() -> None:
    words = ["--chat", "--n-embd", "16", "--stop-after", "7"]
    context = train_command.make_context("train", words)
    given = {name: context.params[name] for name in ("n_embd", "n_head", "block_size", "steps")}
    assert given == {"n_embd": 16, "n_head": 4, "block_size": 128, "steps": 2500}
    context = train_command.make_context("train", ["--steps", "9", "--chat"])
    assert context.params["steps"] == 9
    plain = train_command.make_context("train", [])
    assert [plain.params[name] for name in ("n_embd", "block_size", "steps")] == [16, 16, 1000]


def test_help_shows_the_defaults_of_chat() -> None:
    shown = " ".join(run("train", "--help").stdout.split())
    assert "Defaults are then --n-embd 32, --block-size 128, --steps 2500." in shown


def test_held_out_conversations_count_as_the_assistant_s_part_alone(tmp_path: Path) -> None:
    """In the log of a run stands what the model that it leaves makes of them."""
    words = [
        "train",
        "--chat",
        "--data",
        TALKS,
        "--assistant-only",
        "--validation",
        0.3,
        "--batch",
        3,
    ]
    sizes = ["--block-size", 128, "--dtype", "float64"]
    run(*words, *sizes, "--steps", 20, "--out", tmp_path / "run")
    model = microgpt.load(tmp_path / "run", dtype="float64")
    talks, _ = read_conversations(TALKS)
    docs = chat_documents(model.tokenizer, talks, 128, assistant_only=True).documents
    _, held = split(docs, 0.3)
    assert 2 <= len(held) <= 15
    losses = [model.loss_and_grads(docs[i].tokens, docs[i].mask)[0] for i in held]
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert last["validation"] == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    whole = [model.loss_and_grads(docs[i].tokens)[0] for i in held]
    assert last["validation"] != pytest.approx(sum(whole) / len(whole), rel=0.01)
