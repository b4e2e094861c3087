"""Character-level tokenizer, for any character set, BOS first or last, and special tokens."""

from collections.abc import Sequence

from microgpt.errors import UserError


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
