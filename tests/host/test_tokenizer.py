"""Tokens on the host: either place of BOS, any characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt import Tokenizer
from microgpt.tokenizer import VocabularyError
from ugpt import tokenizer as device

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@given(st.text(LETTERS))
def test_the_same_as_the_device(text: str) -> None:
    tokens = Tokenizer(LETTERS).encode(text)
    assert tokens == device.Tokenizer().encode(text)
    assert Tokenizer(LETTERS).decode(tokens) == device.Tokenizer().decode(tokens) == text


@given(st.sets(st.characters(codec="utf-8"), min_size=1, max_size=254), st.data())
def test_the_same_as_the_device_with_any_characters(found: set[str], draw: st.DataObject) -> None:
    charset = "".join(sorted(found))
    text = draw.draw(st.text(charset))
    ours, theirs = Tokenizer(charset), device.Tokenizer(charset)
    assert ours.vocab_size == theirs.vocab_size
    assert ours.encode(text) == theirs.encode(text)
    assert ours.decode(ours.encode(text)) == theirs.decode(ours.encode(text)) == text


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


SMALL = "abcdefghijklmnoprstuvwxyz !,.?"  # without q


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("hi", "hi"),
        ("", ""),
        ("Hi There", "hi there"),
        ("ZOÉ", "zoe"),
        ("zoe\u0301", "zoe"),  # an accent of its own
        ("stra\N{LATIN SMALL LETTER SHARP S}e", "strasse"),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i"),
        ("no\N{HORIZONTAL ELLIPSIS}", "no..."),
        ("a\N{NO-BREAK SPACE}b\tc\nd", "a b c d"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}", "a"),
        ("a\N{ZERO WIDTH JOINER}b", "ab"),
    ],
)
def test_what_a_user_types_is_folded_to_the_vocabulary(text: str, folded: str) -> None:
    assert Tokenizer(SMALL).fold(text) == folded


@pytest.mark.parametrize(
    ("charset", "text", "folded"),
    [
        ("ABC", "abc", "ABC"),
        ("é", "\u0065\u0301", "é"),
        ("e\u0301", "É", "e\u0301"),
        ("eéE", "É", "é"),  # the other case before the character without its accent
        ("i'm", "i\N{RIGHT SINGLE QUOTATION MARK}m", "i'm"),
        ('"-', "\N{LEFT DOUBLE QUOTATION MARK}\N{EM DASH}", '"-'),
        ("\N{EM DASH}-", "\N{EM DASH}", "\N{EM DASH}"),
    ],
)
def test_folding_changes_no_more_than_it_must(charset: str, text: str, folded: str) -> None:
    assert Tokenizer(charset).fold(text) == folded


@given(st.text())
def test_what_is_folded_can_be_encoded(text: str) -> None:
    tokenizer = Tokenizer(SMALL)
    try:
        folded = tokenizer.fold(text)
    except VocabularyError:
        return
    assert tokenizer.decode(tokenizer.encode(folded)) == folded
    assert bool(folded) == bool(text)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("hi \N{GRINNING FACE}!", "'\N{GRINNING FACE}' is"),
        ("<|user|>", "'<', '|', '>' are"),
        ("q\N{CYRILLIC SMALL LETTER ZHE}q", "'q', '\N{CYRILLIC SMALL LETTER ZHE}' are"),
        ("\x1b\ud800", r"'\x1b', '\ud800' are"),
        ("\N{ZERO WIDTH JOINER}", r"'\u200d' is"),  # nothing remains
    ],
)
def test_what_cannot_be_folded_is_named_and_what_the_model_knows(text: str, unknown: str) -> None:
    with pytest.raises(VocabularyError) as error:
        Tokenizer(SMALL).fold(text)
    knows = "not in the vocabulary: the model knows a-p r-z ! , . ? and spaces"
    assert str(error.value) == f"{unknown} {knows}"


def test_a_large_vocabulary_is_named_in_part() -> None:
    charset = "".join(map(chr, range(0x4E00, 0x6E00, 2)))
    with pytest.raises(VocabularyError, match=r"^.{40,100} and 4,076 more$"):
        Tokenizer(charset).fold("a")


@pytest.mark.parametrize(("charset", "bos"), [("", 0), ("aa", 0), ("ab", 1), ("ab", 3)])
def test_what_cannot_be(charset: str, bos: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Tokenizer(charset, bos)


ANY = st.characters()  # surrogates too


@given(
    st.lists(ANY, min_size=1, unique=True).map("".join),
    st.booleans(),
    st.lists(st.text(ANY), min_size=1),
    st.data(),
)
def test_many_documents_at_once(
    charset: str, last: bool, strange: list[str], draw: st.DataObject
) -> None:
    tokenizer = Tokenizer(charset, len(charset) if last else 0, ["<|user|>"])
    texts = draw.draw(st.lists(st.text(charset), min_size=1))
    tokens, starts = tokenizer.encode_documents(texts)
    assert (tokens.dtype, starts.dtype, starts[0], starts[-1]) == ("i4", "i4", 0, len(tokens))
    for text, start, end in zip(texts, starts[:-1], starts[1:], strict=True):
        assert tokens[start:end].tolist() == tokenizer.encode(text)
    unknown = [text for text in strange if set(text) - set(charset)]
    for text in unknown[:1]:
        with pytest.raises(VocabularyError) as alone:
            tokenizer.encode(text)
        with pytest.raises(VocabularyError) as together:
            tokenizer.encode_documents([*texts, *strange])
        assert str(together.value) == str(alone.value)
