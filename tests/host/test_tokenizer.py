"""Tokens on the host: either place of BOS, any characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt import Tokenizer
from ugpt import tokenizer as device

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@given(st.text(LETTERS))
def test_the_same_as_the_device(text: str) -> None:
    tokens = Tokenizer(LETTERS).encode(text)
    assert tokens == device.encode(text)
    assert Tokenizer(LETTERS).decode(tokens) == device.decode(tokens) == text


@given(st.lists(st.characters(codec="utf-8"), min_size=1, unique=True).map("".join), st.data())
def test_round_trips(charset: str, draw: st.DataObject) -> None:
    text = draw.draw(st.text(charset))
    for bos in (0, len(charset)):
        tokenizer = Tokenizer(charset, bos)
        tokens = tokenizer.encode(text)
        assert tokens[0] == tokens[-1] == bos
        assert bos not in tokens[1:-1]
        assert all(0 <= token < tokenizer.vocab_size for token in tokens)
        assert tokenizer.decode(tokens) == text


def test_emma() -> None:
    assert Tokenizer(LETTERS).encode("emma") == [0, 5, 13, 13, 1, 0]
    assert Tokenizer(LETTERS, bos=26).encode("emma") == [26, 4, 12, 12, 0, 26]


def test_an_unknown_character_is_named() -> None:
    with pytest.raises(ValueError, match="'E' in 'Emma'"):
        Tokenizer(LETTERS).encode("Emma")


@pytest.mark.parametrize(("charset", "bos"), [("", 0), ("aa", 0), ("ab", 1), ("ab", 3)])
def test_what_cannot_be(charset: str, bos: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Tokenizer(charset, bos)
