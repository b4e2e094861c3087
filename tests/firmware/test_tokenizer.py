"""Tokens: BOS is 0, then the characters in their order; both ends of a document are BOS."""

from ugpt.tokenizer import BOS, LETTERS, Tokenizer

from tests.support.micropython.arrays import message

# Of one, two, three and four bytes in UTF-8: a character is one token.
MIXED = " -AZaz\xe9\u0131\u6771\U0001f600"


def test_emma():
    assert Tokenizer().encode("emma") == [0, 5, 13, 13, 1, 0]
    assert BOS == 0
    assert Tokenizer().vocab_size == 27
    assert Tokenizer().charset == LETTERS


def test_round_trips():
    tokenizer = Tokenizer()
    for text in ("", "a", "z", "emma", LETTERS):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_any_characters():
    tokenizer = Tokenizer(MIXED)
    assert tokenizer.vocab_size == 11
    assert tokenizer.encode("\u6771 \U0001f600") == [0, 9, 1, 10, 0]
    for text in (MIXED, "\xe9", "Az \U0001f600\U0001f600\u0131", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_254_characters():
    charset = "".join(chr(0x4E00 + i) for i in range(254))
    tokenizer = Tokenizer(charset)
    assert tokenizer.encode(charset) == [0] + list(range(1, 255)) + [0]
    tokens = bytearray(256)
    assert tokenizer.encode_into(tokens, charset) == 256
    assert tokenizer.decode(tokens) == charset


def test_cut_to_fit():
    tokenizer = Tokenizer()
    tokens = bytearray(4)
    assert tokenizer.encode_into(tokens, "emma") == 4
    assert list(tokens) == [0, 5, 13, 13]
    tokens = bytearray(b"\xff" * 6)
    assert tokenizer.encode_into(tokens, "emm") == 5
    assert list(tokens) == [0, 5, 13, 13, 0, 255]
    tokens = bytearray(1)
    assert tokenizer.encode_into(tokens, "emma") == 1
    assert list(tokens) == [0]


def test_other_characters_are_refused():
    for text, named in (("Emma", "'E'"), ("o'neil", '"\'"'), ("a b", "' '"), ("`", "'`'")):
        assert message(Tokenizer().encode, text) == named + " is not in the vocabulary"
    assert message(Tokenizer(MIXED).encode, "\xe8") != ""
    assert message(Tokenizer().encode_into, bytearray(2), "emmA")  # beyond what fits, too


def test_a_character_that_drives_a_terminal_is_named_escaped():
    assert message(Tokenizer().encode, "a\x1b[2J") == "'\\x1b' is not in the vocabulary"
    said = message(Tokenizer().encode, "\u202e")
    assert said.replace("\u202e", "\\u202e") == "'\\u202e' is not in the vocabulary"  # some do not
