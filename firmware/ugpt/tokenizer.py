"""Characters as tokens: 0 is BOS, which also ends a document; 1 to 26 are a to z."""

BOS = 0
VOCAB_SIZE = 27
_BEFORE_A = ord("a") - 1


def encode_into(tokens, letters, count):
    """Write BOS, the tokens of letters[:count] and BOS into `tokens`; return how many.

    `letters` are ASCII codes of a..z; `tokens` is a writable sequence of ints, and what does not
    fit into it is cut off. Raises ValueError for a code of any other character.
    """
    tokens[0] = BOS
    written = min(count + 1, len(tokens))
    for i in range(1, written):
        token = letters[i - 1] - _BEFORE_A
        if not 0 < token < VOCAB_SIZE:
            raise ValueError("not a letter a..z: code %d" % letters[i - 1])
        tokens[i] = token
    if written < len(tokens):
        tokens[written] = BOS
        written += 1
    return written


def encode(text):
    """Return the tokens of `text` with BOS at both ends: "emma" gives [0, 5, 13, 13, 1, 0]."""
    letters = text.encode()
    tokens = [BOS] * (len(letters) + 2)
    encode_into(tokens, letters, len(letters))
    return tokens


def decode(tokens):
    """Return the text of `tokens`, without any BOS."""
    return "".join(chr(_BEFORE_A + token) for token in tokens if token != BOS)
