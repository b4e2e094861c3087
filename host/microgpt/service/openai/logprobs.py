"""Log probabilities of tokens as OpenAI's answers have them, in both forms.

They are of softmax(logits): before the temperature and all that follows it.
"""

from collections.abc import Sequence

import numpy as np
from typing_extensions import TypedDict

from microgpt.model_io import Array
from microgpt.service.openai.generation import Piece
from microgpt.tokenizer import Tokenizer

BOS = "<|bos|>"  # the tokenizer has no name for it


class Likely(TypedDict):
    """A token that could have been drawn; `bytes` are null if it is no character."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(Likely):
    """A token of the text."""

    top_logprobs: list[Likely]


class ChatLogprobs(TypedDict):
    """The log probabilities of a reply's tokens."""

    content: list[TokenLogprob]
    refusal: None


class CompletionLogprobs(TypedDict):
    """The log probabilities of a document's tokens.

    `top_logprobs` have the token of the text too, `text_offset` counts characters of prompt and
    text.
    """

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class Names:
    """The tokens of a vocabulary as texts: a character, or the name of a special token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def likely(self, token: int, logprob: float) -> Likely:
        """Return a token with its log probability."""
        is_character = self._tokenizer.is_character(token)
        name = self.name(token)
        return {
            "token": name,
            "logprob": logprob,
            "bytes": [*name.encode("utf-8", "surrogatepass")] if is_character else None,
        }

    def name(self, token: int) -> str:
        """Return a token as text."""
        if token == self._tokenizer.bos:
            return BOS
        return self._tokenizer.decode([token], special=True)


def log_softmax(logits: Array) -> Array:
    """Return the log probabilities, (vocab_size,), of as many logits, in float64."""
    scores = np.asarray(logits, float)
    scores = scores - scores.max()
    result: Array = scores - np.log(np.exp(scores).sum())
    return result


def likeliest(logprobs: Array, count: int) -> list[int]:
    """Return the `count` likeliest tokens, the lower of equally likely ones first."""
    return [int(token) for token in np.argsort(-logprobs, kind="stable")[:count]]


def in_chat(names: Names, pieces: Sequence[Piece], alternatives: int) -> ChatLogprobs:
    """Return the log probabilities of pieces of a reply."""
    content: list[TokenLogprob] = []
    for _, (token, logits) in pieces:
        logprobs = log_softmax(logits)
        top = [names.likely(one, float(logprobs[one])) for one in likeliest(logprobs, alternatives)]
        content.append({**names.likely(token, float(logprobs[token])), "top_logprobs": top})
    return {"content": content, "refusal": None}


def in_document(
    names: Names, pieces: Sequence[Piece], alternatives: int, offset: int
) -> CompletionLogprobs:
    """Return the log probabilities of pieces of a document; the first begins at `offset`."""
    found: CompletionLogprobs = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [],
        "text_offset": [],
    }
    for text, (token, logits) in pieces:
        logprobs = log_softmax(logits)
        top = [*likeliest(logprobs, alternatives), token]
        found["tokens"].append(names.name(token))
        found["token_logprobs"].append(float(logprobs[token]))
        found["top_logprobs"].append({names.name(one): float(logprobs[one]) for one in top})
        found["text_offset"].append(offset)
        offset += len(text)
    return found
