"""Characters as tokens, for any set of characters and either place of BOS."""


class Tokenizer:
    """A token a character, and BOS, which also ends a document.

    BOS is 0, or len(charset) in models that microgpt.py itself would write; the characters take
    the other numbers in the order of `charset`.
    """

    def __init__(self, charset: str, bos: int = 0) -> None:
        """Raise ValueError at an empty charset, a repeated character or another place for BOS."""
        if not charset or len(set(charset)) != len(charset):
            raise ValueError("charset must be characters, each of them once")
        if bos not in (0, len(charset)):
            raise ValueError(f"bos must be 0 or {len(charset)}, not {bos!r}")
        self.charset = charset
        self.bos = bos
        first = 1 if bos == 0 else 0
        self._tokens = {character: first + i for i, character in enumerate(charset)}
        self._characters = {token: character for character, token in self._tokens.items()}

    @property
    def vocab_size(self) -> int:
        """The number of tokens, BOS included."""
        return len(self.charset) + 1

    def encode(self, text: str) -> list[int]:
        """Return BOS, a token a character, BOS; raise ValueError at a character not in charset."""
        try:
            return [self.bos, *(self._tokens[character] for character in text), self.bos]
        except KeyError as error:
            raise ValueError(f"{error.args[0]!r} in {text!r} is not in the vocabulary") from None

    def decode(self, tokens: list[int]) -> str:
        """Return the text of `tokens`; BOS, wherever it stands, adds nothing."""
        return "".join(self._characters[token] for token in tokens if token != self.bos)
