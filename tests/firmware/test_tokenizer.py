"""Tokens: BOS is 0, then a to z; both ends of a document are BOS."""

from ugpt.tokenizer import BOS, VOCAB_SIZE, decode, encode, encode_into

from tests.support.micropython.arrays import raises


def test_emma():
    assert encode("emma") == [0, 5, 13, 13, 1, 0]
    assert BOS == 0
    assert VOCAB_SIZE == 27


def test_round_trips():
    for text in ("", "a", "z", "emma", "abcdefghijklmnopqrstuvwxyz"):
        assert decode(encode(text)) == text


def test_cut_to_fit():
    tokens = bytearray(4)
    assert encode_into(tokens, b"emma", 4) == 4
    assert list(tokens) == [0, 5, 13, 13]
    tokens = bytearray(b"\xff" * 6)
    assert encode_into(tokens, b"emmanuel", 3) == 5
    assert list(tokens) == [0, 5, 13, 13, 0, 255]


def test_other_characters_are_refused():
    for text in ("Emma", "o'neil", "a b", "`", "{"):
        assert raises(ValueError, encode, text)
