"""The bodies of OpenAI's requests, as far as this service supports them; null is as left out.

What depends on the model, such as its vocabulary, is checked when the model is known.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from microgpt.chat.forms import TEXT_PARTS
from microgpt.service.openai import unsupported
from microgpt.service.openai.unsupported import Neutral, without_neutral
from microgpt.service.schemas import SamplingRequest, Strict, whole

MOST = 50  # choices, and prompts of a request
MOST_STOPS = 4
MOST_LOGPROBS = 20  # tokens at a position
LARGEST_INT64 = 2**63 - 1
PART_FORM = '{"type": "text", "text": "..."}'

Count = Annotated[int, BeforeValidator(whole)]


class Open(Strict):
    """A body that clients may send with other fields, at the values that change nothing."""

    neutral: ClassVar[Mapping[str, Neutral]]
    unknown: ClassVar[Neutral | None] = None

    @model_validator(mode="before")
    @classmethod
    def _accept(cls, data: object) -> object:
        return without_neutral(data, cls.model_fields, cls.neutral, cls.unknown)


def _as_list(value: object) -> list[str]:
    """Return a string as a list of it; raise ValueError for what is no list of strings either."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("give a string or an array of strings; token ids are not read")
    return texts


def _objects(value: object) -> object:
    """Return an array of objects; raise ValueError for anything else."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise ValueError('give an array of messages, such as {"role": "user", "content": "..."}')
    return value


def _none_for_minus_one(value: object) -> object:
    """Return None for -1, with which other servers have no limit, or a new seed."""
    return None if value == -1 else value


def _zero_for_minus_one(value: object) -> object:
    """Return top_k, 0 for -1, which other servers take as that."""
    return 0 if value == -1 else whole(value)


def _joined_parts(value: object) -> str:
    """Return the text of a message, which may be in parts; raise ValueError for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError(f"give a string or an array of {PART_FORM}")
    texts = []
    for part in value:
        if isinstance(part, dict) and part.get("type") not in TEXT_PARTS:
            kind = part.get("type")
            raise ValueError(f"parts of a message are of the type text here, not {kind!r}")
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise ValueError(f"a part is {PART_FORM}")
        texts.append(part["text"])
    return "".join(texts)


PART = {
    "type": "object",
    "properties": {"type": {"enum": TEXT_PARTS}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
Text = Annotated[
    str,
    BeforeValidator(_joined_parts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": PART}]}),
]
Stops = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    BeforeValidator(_as_list),
    Field(max_length=MOST_STOPS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "maxItems": MOST_STOPS,
                },
            ],
            "description": f"The text ends before the first of these, up to {MOST_STOPS}.",
        }
    ),
]
Prompts = Annotated[
    list[str],
    BeforeValidator(_as_list),
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
        int,
        Field(ge=0, description="0 or -1: from all tokens."),
        BeforeValidator(_zero_for_minus_one),
    ] = 0
    max_tokens: Annotated[
        Count | None,
        Field(ge=0, description="Without it or -1: until the end, or the block is full."),
        BeforeValidator(_none_for_minus_one),
    ] = None
    stop: Stops = []
    n: Annotated[Count, Field(ge=1, le=MOST, description="Choices to generate.")] = 1
    seed: Annotated[
        Count | None,
        Field(ge=0, le=LARGEST_INT64, description="Without it or -1: a new one."),
        BeforeValidator(_none_for_minus_one),
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
    messages: Annotated[list[ChatMessage], Field(min_length=1), BeforeValidator(_objects)]
    max_tokens: Annotated[
        Count | None,
        Field(ge=1, description="Without it or -1: until the reply ends."),
        BeforeValidator(_none_for_minus_one),
    ] = None
    max_completion_tokens: Annotated[
        Count | None,
        Field(ge=1, description="The new name of max_tokens."),
        BeforeValidator(_none_for_minus_one),
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
