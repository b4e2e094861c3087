"""An answer in OpenAI's shape from choices that are being generated: whole, or as events."""

import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from typing_extensions import TypedDict

from microgpt.service.openai.generation import Continuation, Piece
from microgpt.service.openai.models import Served
from microgpt.service.openai.requests import Request
from microgpt.service.problems import Refusal, openai_error
from microgpt.service.schemas import LARGEST_SEED

MOST = 100_000  # tokens and log probabilities in an answer: more take much memory
DONE = "[DONE]"  # the last event

Object = dict[str, Any]  # of JSON


class Usage(TypedDict):
    """Tokens: of the prompts as the model reads them, and drawn, with those that end a choice.

    A document's prompt begins with BOS. A conversation has BOS, and the turns that the block
    holds, with the special tokens of each, up to the one that opens the reply.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True)
class Choice:
    """A choice that is being generated.

    `pieces` are those of `continuation`, after those of the prompt if it is repeated; the first
    begins at character `offset` of prompt and continuation.
    """

    index: int
    pieces: Iterable[Piece]
    continuation: Continuation
    offset: int = 0


class Whole(TypedDict):
    """What a whole answer has beside its choices."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    usage: Usage


class Json(Response):
    """An object as JSON, in ASCII, because a vocabulary can have half a character."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return json.dumps(content).encode()


class Answer(ABC):
    """The answer to a request; `whole` and `events` compute it, in a thread of the pool."""

    PREFIX: str  # of the answer's id
    OBJECT: str
    EVENT_OBJECT: str

    def __init__(self, served: Served, request: Request) -> None:
        """Take a request; without a seed it gets one."""
        self.model = served.model
        seed = request.seed
        self.seed = secrets.randbelow(LARGEST_SEED + 1) if seed is None else seed
        self.prompt_tokens = 0
        self._request = request
        block, most = self.model.config.block_size, request.most_tokens
        self.most_tokens = block if most is None else min(most, block)
        self._head: Object = {
            "id": f"{self.PREFIX}-{secrets.token_hex(12)}",
            "object": self.OBJECT,
            "created": int(time.time()),
            "model": served.name,
            "system_fingerprint": served.fingerprint,
        }

    @abstractmethod
    def choices(self) -> Iterator[Choice]:
        """Yield the choices; each is through before the next begins."""

    @abstractmethod
    def logprobs(self, pieces: Sequence[Piece], offset: int) -> object:
        """Return the log probabilities of some pieces, the first at character `offset`."""

    @abstractmethod
    def message(self, text: str) -> Object:
        """Return the part of a whole choice that has its text."""

    @abstractmethod
    def delta(self, text: str) -> Object:
        """Return the part of an event that has a piece of text, or "" at a choice's end."""

    def first_delta(self) -> Object | None:
        """Return that part of a choice's first event, None if there is none before the text."""
        return None

    def check_size(self, choices: int) -> None:
        """Raise Refusal if so many choices can be too long, with the alternatives to each token."""
        if choices * self.most_tokens * (1 + (self._request.alternatives or 0)) > MOST:
            raise Refusal(
                f"an answer has at most {MOST:,} tokens, with the alternatives to each: "
                f"ask for fewer choices, tokens or log probabilities",
                "n",
            )

    def whole(self) -> Object:
        """Return the whole answer."""
        choices: list[Object] = []
        drawn = 0
        for choice in self.choices():
            pieces = list(choice.pieces)
            choices.append(
                self._choice(
                    choice,
                    self.message("".join(piece.text for piece in pieces)),
                    self._logprobs(pieces, choice.offset),
                    choice.continuation.finish_reason,
                )
            )
            drawn += choice.continuation.count
        return {**self._head, "choices": choices, "usage": self._usage(drawn)}

    def events(self) -> Iterator[str]:
        """Yield the answer as server-sent events; the first comes after the first token."""
        drawn = 0
        for choice in self.choices():
            first = self.first_delta()
            offset = choice.offset
            for piece in choice.pieces:
                if first:
                    yield self._event(self._choice(choice, first))
                    first = None
                scores = self._logprobs([piece], offset)
                yield self._event(self._choice(choice, self.delta(piece.text), scores))
                offset += len(piece.text)
            if first:
                yield self._event(self._choice(choice, first))
            reason = choice.continuation.finish_reason
            yield self._event(self._choice(choice, self.delta(""), None, reason))
            drawn += choice.continuation.count
        if self._request.stream_options.include_usage:
            yield self._event(usage=self._usage(drawn))
        yield sent(DONE)

    def _choice(
        self, choice: Choice, content: Object, logprobs: object = None, reason: str | None = None
    ) -> Object:
        return {"index": choice.index, **content, "logprobs": logprobs, "finish_reason": reason}

    def _event(self, *choices: Object, usage: Usage | None = None) -> str:
        content = {**self._head, "object": self.EVENT_OBJECT, "choices": choices}
        if self._request.stream_options.include_usage:
            content["usage"] = usage
        return sent(json.dumps(content))

    def _logprobs(self, pieces: Sequence[Piece], offset: int) -> object:
        return None if self._request.alternatives is None else self.logprobs(pieces, offset)

    def _usage(self, drawn: int) -> Usage:
        total = self.prompt_tokens + drawn
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": drawn,
            "total_tokens": total,
        }


def sent(data: str) -> str:
    """Return a server-sent event."""
    return f"data: {data}\n\n"


def failed(detail: str) -> str:
    """Return the event of an error after the first event, when the status has been sent."""
    return sent(json.dumps(openai_error(detail, status=500)))
