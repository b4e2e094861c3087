"""The bodies of OpenAI's requests, as far as this service supports them; null is as left out.

What depends on the model, such as its vocabulary, is checked when the model is known.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from microgpt.chat.forms import TEXT_PARTS
from microgpt.service.openai import unsupported
from microgpt.service.openai.unsupported import Neutral, without_neutral
from microgpt.service.schemas import SamplingRequest, Seed, Strict, whole

MOST = 50  # choices, and prompts of a request
MOST_STOPS = 4
MOST_LOGPROBS = 20  # tokens at a position

Count = Annotated[int, BeforeValidator(whole)]


class Open(Strict):
    """A body that clients may send with other fields, at the values that change nothing."""

    neutral: ClassVar[Mapping[str, Neutral]]
    unknown: ClassVar[Neutral | None] = None

    @model_validator(mode="before")
    @classmethod
    def _accept(cls, data: object) -> object:
        return without_neutral(data, cls.model_fields, cls.neutral, cls.unknown)


def _stops(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _none(value: object) -> object:
    """Return None for -1, with which other servers have no limit, or a new seed."""
    return None if value == -1 else value


def _all(value: object) -> object:
    """Return top_k with 0 for -1, which other servers take as that."""
    return 0 if value == -1 else whole(value)


def _text(value: object) -> object:
    """Return the text of a message, which may be in parts; raise ValueError for another part."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in TEXT_PARTS:
            raise ValueError(f"parts of a message are of the type text here, not {kind!r}")
        if not isinstance(part.get("text"), str):
            raise ValueError('a part is {"type": "text", "text": "..."}')
        texts.append(part["text"])
    return "".join(texts)


PART = {
    "type": "object",
    "properties": {"type": {"enum": TEXT_PARTS}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
Text = Annotated[
    str,
    BeforeValidator(_text),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": PART}]}),
]
Stops = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    BeforeValidator(_stops),
    Field(max_length=MOST_STOPS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 4},
            ],
            "description": "The text ends before the first of these, up to 4.",
        }
    ),
]
Prompts = Annotated[
    list[str],
    BeforeValidator(_stops),
    Field(min_length=1, max_length=MOST),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST},
            ],
            "description": "How documents begin; each gets n choices.",
        }
    ),
]


class StreamOptions(Open):
    """What else a stream has."""

    neutral = unsupported.STREAM_OPTIONS
    include_usage: Annotated[bool, Field(description="A last event with the usage.")] = False


class Request(Open, SamplingRequest):
    """What the requests for a chat's and a document's completion have in common."""

    model: Annotated[
        str | None, Field(description="The model's folder; without it the service's first.")
    ] = None
    top_k: Annotated[
        int, Field(ge=0, description="0 or -1: from all tokens."), BeforeValidator(_all)
    ] = 0
    max_tokens: Annotated[
        Count | None,
        Field(ge=0, description="Without it or -1: until the end, or the block is full."),
        BeforeValidator(_none),
    ] = None
    stop: Stops = []
    n: Annotated[Count, Field(ge=1, le=MOST, description="Choices to generate.")] = 1
    seed: Annotated[
        Seed | None, Field(description="Without it or -1: a new one."), BeforeValidator(_none)
    ] = None
    stream: Annotated[bool, Field(description="Answer as server-sent events.")] = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def most_tokens(self) -> int | None:
        """The limit of a choice's tokens; None if there is none."""
        return self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """How many of the likeliest tokens get log probabilities; None: no token gets one."""
        raise NotImplementedError


class ChatMessage(Open):
    """What someone said; the content may be in parts of the type text."""

    neutral = unsupported.MESSAGE
    unknown = unsupported.ANYTHING
    role: Literal["user", "assistant", "system", "developer"]
    content: Text = ""


class ChatCompletionRequest(Request):
    """A conversation so far, for the assistant to reply to.

    If it is longer than the block, its oldest turns are dropped.
    """

    neutral = unsupported.CHAT
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[
        Count | None,
        Field(ge=1, description="Without it or -1: until the reply ends."),
        BeforeValidator(_none),
    ] = None
    max_completion_tokens: Annotated[
        Count | None,
        Field(ge=1, description="The new name of max_tokens."),
        BeforeValidator(_none),
    ] = None
    logprobs: Annotated[bool, Field(description="Return the log probability of each token.")] = (
        False
    )
    top_logprobs: Annotated[
        Count | None,
        Field(ge=0, le=MOST_LOGPROBS, description="And those of so many of the likeliest tokens."),
    ] = None

    @property
    def most_tokens(self) -> int | None:
        given = [most for most in (self.max_tokens, self.max_completion_tokens) if most is not None]
        return min(given, default=None)

    @property
    def alternatives(self) -> int | None:
        return self.top_logprobs or 0 if self.logprobs or self.top_logprobs else None


class CompletionRequest(Request):
    """How documents begin, for the model to continue."""

    neutral = unsupported.COMPLETION
    prompt: Prompts = [""]
    echo: Annotated[bool, Field(description="Return the prompt too, as the model reads it.")] = (
        False
    )
    logprobs: Annotated[
        Count | None,
        Field(
            ge=0,
            le=MOST_LOGPROBS,
            description="Return the log probability of each token, and of so many likeliest.",
        ),
    ] = None

    @property
    def alternatives(self) -> int | None:
        return self.logprobs
