"""Character-level tokenizer, for any character set, BOS first or last, and special tokens."""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from microgpt.errors import UserError

LISTED = 20  # characters or ranges that a message names
PUNCTUATION = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'")  # quotes, prime, accents
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")  # hyphens, dashes, minus
)
INVISIBLE = ("Mn", "Me", "Cf")  # categories: combining marks, joiners, marks of direction


class VocabularyError(UserError):
    """A character or a special token is not in the vocabulary, or a vocabulary is impossible."""


class Tokenizer:
    """Maps each character to a token; BOS is the token before and after a document.

    BOS is 0, or len(charset) as in microgpt.py. The characters have the other numbers up to
    len(charset), in the order of `charset`, and `special_tokens` the numbers after them. No text
    encodes to BOS or to a special token: the text "<|user|>" becomes eight characters.
    """

    def __init__(self, charset: str, bos: int = 0, special_tokens: Sequence[str] = ()) -> None:
        """Raise VocabularyError if something is empty or repeats, or `bos` is another token."""
        if not charset or len(set(charset)) != len(charset):
            raise VocabularyError("charset must be characters, each of them once")
        if bos not in (0, len(charset)):
            raise VocabularyError(f"bos must be 0 or {len(charset)}, not {bos!r}")
        if not all(isinstance(name, str) and name for name in special_tokens):
            raise VocabularyError("special_tokens must be names")
        if len(set(special_tokens)) != len(special_tokens):
            raise VocabularyError("special_tokens must be names, each of them once")
        self.charset = charset
        self.bos = bos
        self.special_tokens = tuple(special_tokens)
        first = 1 if bos == 0 else 0
        self._tokens = {character: first + i for i, character in enumerate(charset)}
        self._characters = {token: character for character, token in self._tokens.items()}
        self._special = {name: len(charset) + 1 + i for i, name in enumerate(special_tokens)}

    @property
    def vocab_size(self) -> int:
        """The number of tokens: characters, BOS and special tokens."""
        return len(self.charset) + 1 + len(self.special_tokens)

    def encode(self, text: str) -> list[int]:
        """Return BOS, the tokens of `text`, BOS; raise VocabularyError for an unknown character."""
        return [self.bos, *self.characters(text), self.bos]

    def characters(self, text: str) -> list[int]:
        """Return the tokens of `text`, without BOS; raise VocabularyError as `encode` does."""
        try:
            return [self._tokens[character] for character in text]
        except KeyError as error:
            raise VocabularyError(
                f"{error.args[0]!r} in {text!r} is not in the vocabulary"
            ) from None

    def encode_documents(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the tokens of all texts one after another, and where each begins, and the end.

        There is at least one text; its tokens are those of `encode`. All characters are looked up
        at once, BOS being one that no text has. Raises VocabularyError as `encode` does.
        """
        bos, table = self._by_code
        text = f"{bos}{(2 * bos).join(texts)}{bos}"
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        tokens = table[np.minimum(codes, len(table) - 1)]
        borders = np.flatnonzero(codes == ord(bos))
        if tokens.min() < 0 or len(borders) != 2 * len(texts):
            for text in texts:
                self.characters(text)  # which names the text
        return tokens, np.append(borders[::2], len(tokens)).astype(np.int32)

    @cached_property
    def _by_code(self) -> tuple[str, NDArray[np.int32]]:
        """A character for BOS, and the token of each character by its code, -1 for all others.

        The last code in the table is of all that come after it.
        """
        bos = next(c for c in map(chr, itertools.count()) if c not in self._tokens)
        tokens = {bos: self.bos, **self._tokens}
        table = np.full(max(map(ord, tokens)) + 2, -1, np.int32)
        for character, token in tokens.items():
            table[ord(character)] = token
        return bos, table

    def fold(self, text: str) -> str:
        """Return what a user typed, in characters of the vocabulary.

        A character that the vocabulary lacks becomes the first of these that it has: the other
        case, the character without its accents, plain punctuation for typographic, a space for
        other white space. Raises VocabularyError, which says what the vocabulary has, if there is
        none of these or if nothing remains of `text`.
        """
        if self._has(text):
            return text
        text = unicodedata.normalize("NFC", text)
        known = {c: next(filter(self._has, _forms(c)), None) for c in dict.fromkeys(text)}
        unknown = [character for character, form in known.items() if form is None]
        if not unknown and not any(known.values()):
            unknown = list(known)  # nothing but invisible ones
        if unknown:
            verb = "is" if len(unknown) == 1 else "are"
            raise VocabularyError(
                f"{_first(list(map(repr, unknown)), ', ')} {verb} not in the vocabulary: "
                f"the model knows {_ranges(self.charset)}"
            )
        return "".join(known[character] or "" for character in text)

    def _has(self, text: str) -> bool:
        return all(character in self._tokens for character in text)

    def special(self, name: str) -> int:
        """Return the number of a special token; raise VocabularyError if it is unknown."""
        try:
            return self._special[name]
        except KeyError:
            raise VocabularyError(f"{name} is not in the vocabulary") from None

    def is_character(self, token: int) -> bool:
        """Return whether `token` is a character, not BOS or a special token."""
        return token in self._characters

    def decode(self, tokens: Sequence[int], special: bool = False) -> str:
        """Return the text of `tokens`; special tokens are left out, or names if `special`."""
        names = self.special_tokens if special else ("",) * len(self.special_tokens)
        first = len(self.charset) + 1
        return "".join(
            names[token - first] if token >= first else self._characters.get(token, "")
            for token in tokens
        )

    def decode_documents(self, tokens: NDArray[np.int32]) -> list[str]:
        """Return the texts of documents, each of which ends with BOS; special tokens are names.

        All tokens are looked up at once, as characters, and the text is split where BOS was. BOS
        and a special token are meanwhile characters that are in no text.
        """
        used = {*self._tokens, *"".join(self._special)}
        spare = (c for c in map(chr, itertools.count()) if c not in used)
        signs = dict(zip((self.bos, *self._special.values()), spare, strict=False))
        by_token = sorted((self._characters | signs).items())
        codes = [ord(character) for _, character in by_token]
        # With a byte a character the texts are made several times as fast.
        size, encoding = ("<u1", "latin-1") if max(codes) < 256 else ("<u4", "utf-32-le")
        text = np.array(codes, size)[tokens].tobytes().decode(encoding, "surrogatepass")
        for name, token in self._special.items():
            text = text.replace(signs[token], name)
        return text.split(signs[self.bos])[:-1]


def _forms(character: str) -> Iterator[str]:
    """Yield what a character can be folded to: the closest form first, "" last if invisible."""
    decomposed = unicodedata.normalize("NFKD", character.translate(PUNCTUATION))
    plain = "".join(c for c in decomposed if unicodedata.category(c) not in INVISIBLE)
    for form in (character, decomposed, plain):
        yield from (form, form.lower(), form.upper(), form.casefold())
    if character.isspace():
        yield " "


def _ranges(charset: str) -> str:
    """Return the characters in words: three or more consecutive letters or digits as a-z."""
    words = []
    ordered = sorted(charset.replace(" ", ""), key=lambda c: (not c.isalnum(), c))
    # In a run of consecutive characters, number and place differ by the same; others stand alone.
    places = [ord(c) - i if c.isalnum() else -1 - i for i, c in enumerate(ordered)]
    for _, group in itertools.groupby(zip(ordered, places, strict=True), lambda pair: pair[1]):
        run = [c if c.isprintable() else repr(c) for c, _ in group]
        words += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else run
    return _first(words, " ") + (" and spaces" if " " in charset else "")


def _first(words: list[str], separator: str) -> str:
    """Return the first LISTED words as a text, and the number of the others."""
    more = len(words) - LISTED
    return separator.join(words[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
