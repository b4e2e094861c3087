"""Conversations as documents: token by token, cut at a turn, joined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.chat.conversations import (
    END_TURN,
    SPECIAL_TOKENS,
    SYSTEM,
    Conversation,
    JoinedDocuments,
    Message,
    can_chat,
    chat_documents,
    conversation_document,
    special_tokens,
    takes_system,
)
from microgpt.data import DataError
from microgpt.tokenizer import Tokenizer
from microgpt.training import Document

LETTERS = "abcdefghijklmnopqrstuvwxyz <|>_"
TOKENIZER = Tokenizer(LETTERS, special_tokens=SPECIAL_TOKENS)
USER, ASSISTANT, END = (TOKENIZER.special(name) for name in SPECIAL_TOKENS)


def talk(*contents: str) -> Conversation:
    return [Message(("user", "assistant")[i % 2], text) for i, text in enumerate(contents)]


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


# With a turn of the system.

WITH_SYSTEM = Tokenizer(LETTERS, special_tokens=(*SPECIAL_TOKENS, SYSTEM))
SAID = Message("system", "no")


def test_special_tokens_are_as_before_without_a_system_turn() -> None:
    assert special_tokens([talk("a", "b")]) == SPECIAL_TOKENS
    assert special_tokens([talk("a", "b"), [SAID, *talk("a", "b")]]) == (*SPECIAL_TOKENS, SYSTEM)
    assert takes_system(WITH_SYSTEM)
    assert can_chat(WITH_SYSTEM)
    assert not takes_system(TOKENIZER)


def test_what_the_system_says_is_the_first_turn_and_not_learned() -> None:
    doc, used = conversation_document(WITH_SYSTEM, [SAID, *talk("a", "b")], 16, assistant_only=True)
    said = WITH_SYSTEM.decode(doc.tokens[1:-1], special=True)
    assert said == "<|system|>no<|end_turn|><|user|>a<|end_turn|><|assistant|>b<|end_turn|>"
    assert used == 3
    assert doc.mask == [False] * 8 + [True, True, False]


def test_a_cut_counts_turns_after_the_system_s() -> None:
    longer = [SAID, *talk("a", "b", "a", "b")]
    chats = chat_documents(WITH_SYSTEM, [longer, [SAID, *talk("a", "b", "c")], longer[:3]], 10)
    assert (len(chats.documents), chats.cut, chats.too_long) == (3, 1, 0)
    with pytest.raises(DataError, match="the first two turns are 10 tokens, the block holds 9"):
        chat_documents(WITH_SYSTEM, [longer], 9)


# Joined.


@given(
    contents=st.lists(st.text("abc", min_size=1, max_size=9), min_size=2, max_size=8),
    block_size=st.integers(22, 90),
    assistant_only=st.booleans(),
    seed=st.integers(0, 3),
)
def test_joined_conversations(
    contents: list[str], block_size: int, assistant_only: bool, seed: int
) -> None:
    """Each document is conversations one after another, the last cut where the block ends."""
    talks = [talk(a, b) for a in contents for b in contents]
    docs = chat_documents(TOKENIZER, talks, block_size, assistant_only).documents
    joined = JoinedDocuments(docs, TOKENIZER, block_size, seed, count=len(docs) + 1)
    assert len(joined) == 2 * len(docs)
    said = [[token for token in doc.tokens if token] for doc in docs]  # without BOS
    learned = [(doc.mask or [])[: len(turns)] for doc, turns in zip(docs, said, strict=True)]
    for number, (tokens, mask) in enumerate((doc.tokens, doc.mask) for doc in joined):
        assert joined[number] == Document(tokens, mask)
        assert tokens[0] == 0
        assert len(tokens) == block_size + 1
        assert (mask is not None) == assistant_only
        first = number % len(docs)
        assert tokens[1 : 1 + len(said[first])] == said[first]
        start = 1
        while start < len(tokens):
            rest = tokens[start:]
            length = rest.index(USER, 1) if USER in rest[1:] else len(rest)
            part = rest[:length]
            fitting = [i for i, turns in enumerate(said) if turns[:length] == part]
            assert any(len(said[i]) == length or length == len(rest) for i in fitting)
            if mask is not None:
                assert mask[start - 1 : start - 1 + length] == learned[fitting[0]][:length]
            start += length


def test_joined_documents_depend_on_the_seed_and_are_new_in_each_epoch() -> None:
    docs = chat_documents(TOKENIZER, [talk(a, "x") for a in "abcdefgh"], 60).documents
    first, same, other = (JoinedDocuments(docs, TOKENIZER, 60, seed, 16) for seed in (1, 1, 2))
    assert list(first) == list(same)
    assert list(first) != list(other)
    assert first[:8] != first[8:]
    with pytest.raises(IndexError):
        first[16]


def test_a_conversation_with_a_system_turn_stays_alone() -> None:
    talks = [[SAID, *talk("a", "b")], talk("c", "d")]
    docs = chat_documents(WITH_SYSTEM, talks, 40).documents
    joined = JoinedDocuments(docs, WITH_SYSTEM, 40, 1, 4)
    assert joined[0] == joined[2] == docs[0]
    system = WITH_SYSTEM.special(SYSTEM)
    assert system not in joined[1].tokens
    assert len(joined[1].tokens) == 41
    assert joined[1].mask is None
