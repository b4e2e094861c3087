"""The shipped conversations: enough of them, within a block, without contradictions."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from microgpt.chat.conversations import (
    CONVERSATIONS,
    SPECIAL_TOKENS,
    Conversation,
    chat_documents,
)
from microgpt.chat.forms import read_conversations
from microgpt.data import charset_of
from microgpt.tokenizer import Tokenizer

HELD_OUT = CONVERSATIONS.with_name("conversations-validation.jsonl")


def read(path) -> list[Conversation]:
    conversations, malformed = read_conversations(path)
    assert not malformed
    return conversations


TRAINING, OTHERS = read(CONVERSATIONS), read(HELD_OUT)


def charset(conversations: list[Conversation]) -> str:
    return charset_of([message.content for talk in conversations for message in talk])


def plain(text: str) -> str:
    """Return a question as it is for somebody who types no capitals and no marks at its end."""
    return text.lower().rstrip(".!? ")


def words(text: str) -> str:
    """Return the words of a question, without capitals and any marks but those of sums."""
    return re.sub(r"[^a-z0-9+*/-]+", " ", text.lower().replace("'", "")).strip()


def exchanges(conversations: list[Conversation]) -> list[tuple[tuple[str, ...], str]]:
    """Return each reply with what was said before it: (..., the question), the reply."""
    return [
        (tuple(message.content for message in talk[: i + 1]), talk[i + 1].content)
        for talk in conversations
        for i in range(0, len(talk), 2)
    ]


def test_how_many_there_are() -> None:
    """300 exchanges and more, each in several wordings; a name that is repeated is not counted."""
    wordings = defaultdict(set)
    for (*_, question), reply in exchanges(TRAINING):
        wordings[reply].add(question)
    several = [
        reply
        for reply, questions in wordings.items()
        if len(questions) >= 3 and not reply.startswith(("Nice to meet you, ", "Your name is "))
    ]
    assert len(several) >= 300
    assert 1200 <= len(TRAINING) <= 2600
    assert sum(reply.startswith("Nice to meet you, ") for reply in wordings) >= 900
    assert sum(reply.startswith("Your name is ") for reply in wordings) >= 100


@pytest.mark.parametrize("path", [CONVERSATIONS, HELD_OUT], ids=["training", "others"])
def test_every_one_fits_the_block_whole(path) -> None:
    tokenizer = Tokenizer(charset(TRAINING), special_tokens=SPECIAL_TOKENS)
    chats = chat_documents(tokenizer, read(path), block_size=128)
    assert (chats.cut, chats.too_long) == (0, 0)
    assert all(document.tokens[-1] == tokenizer.bos for document in chats.documents)


def test_the_characters() -> None:
    known = charset(TRAINING)
    assert known.isascii()
    assert len(known) <= 75
    assert set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,!?'") <= set(known)
    assert set(charset(OTHERS)) <= set(known)


def test_the_same_words_before_it_have_one_reply() -> None:
    """Without this no model could be right at temperature 0."""
    replies: dict[tuple[str, ...], str] = {}
    for said, reply in exchanges(TRAINING) + exchanges(OTHERS):
        key = tuple(map(plain, said))
        assert replies.setdefault(key, reply) == reply, said


def test_no_wording_that_is_held_out_is_in_the_training_ones() -> None:
    asked = {words(talk[i].content) for talk in TRAINING for i in range(0, len(talk), 2)}
    replies = {reply for _, reply in exchanges(TRAINING)}
    assert len(OTHERS) >= 300
    new_names = 0
    for talk in OTHERS:
        answers = {message.content for message in talk[1::2]}
        if answers <= replies:
            assert not any(words(message.content) in asked for message in talk[::2])
        else:  # a name that is not in the training ones
            assert any(reply.startswith("Nice to meet you, ") for reply in answers - replies)
            new_names += 1
    assert new_names == 60


def test_many_wordings_are_there_as_people_type_them_too() -> None:
    """In lower case without a mark at the end, after whatever was said."""
    asked = {question for (*_, question), _ in exchanges(TRAINING)}
    with_capitals = {question for question in asked if question != plain(question)}
    typed = [question for question in with_capitals if plain(question) in asked]
    assert len(typed) > 500


def test_the_assistant_writes_sentences() -> None:
    """A capital or a digit first, except where a name or a command has none; a mark at the end."""
    lower = ("native", "scalar")
    for _, reply in exchanges(TRAINING):
        assert re.match(r"[A-Z0-9]", reply) or reply.startswith(lower), reply
        assert reply[-1] in ".!?", reply
        assert "  " not in reply
        assert len(reply) <= 60, reply


def test_no_conversation_is_there_twice() -> None:
    lines = [line for path in (CONVERSATIONS, HELD_OUT) for line in path.read_text().splitlines()]
    assert len(set(lines)) == len(lines)


def test_what_the_readme_counts() -> None:
    readme = " ".join((Path(__file__).parents[3] / "data" / "README.md").read_text().split())
    replies = {reply for _, reply in exchanges(TRAINING)}
    names = {reply for reply in replies if reply.startswith("Nice to meet you, ")}
    others = {reply for reply in replies - names if not reply.startswith("Your name is ")}
    for counted in (
        f"{len(TRAINING):,} short conversations",
        f"{len(exchanges(TRAINING)):,} replies",
        f"{len(charset(TRAINING))} different characters",
        f"{len(others)} exchanges",
        f"{len(names):,} first names",
        f"{len(exchanges(OTHERS)):,} times in other words",
    ):
        assert counted in readme
