"""Characters as tokens: 0 is BOS, which also ends a document; the others stand for characters."""

BOS = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Tokenizer:
    """Maps the character charset[i] to the token i + 1; `vocab_size` counts BOS too.

    A text is as long as the number of its code points. Raises ValueError, which names it, for a
    character that `charset` lacks.
    """

    def __init__(self, charset=LETTERS):
        self.charset = charset
        self.vocab_size = len(charset) + 1

    def encode_into(self, tokens, text):
        """Write BOS, the tokens of `text` and BOS into `tokens`; return how many.

        `tokens` is a writable sequence of ints, at least one; what does not fit into it is cut off.
        """
        tokens[0] = BOS
        written = 1
        for character in text:
            token = self.charset.find(character) + 1
            if not token:
                raise ValueError("%r is not in the vocabulary" % character)
            if written < len(tokens):
                tokens[written] = token
                written += 1
        if written < len(tokens):
            tokens[written] = BOS
            written += 1
        return written

    def encode(self, text):
        """Return the tokens of `text`, BOS at both ends: "emma" gives [0, 5, 13, 13, 1, 0]."""
        tokens = [BOS] * (len(text) + 2)
        self.encode_into(tokens, text)
        return tokens

    def decode(self, tokens):
        """Return the text of `tokens`, without any BOS."""
        return "".join(self.charset[token - 1] for token in tokens if token != BOS)
