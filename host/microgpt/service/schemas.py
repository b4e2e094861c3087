"""The bodies of requests and answers; FastAPI validates and documents them."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from microgpt.chat import conversations
from microgpt.chat.session import longest_message, understood
from microgpt.engines.base import Model
from microgpt.sampling import HELP, LIMITS, Sampling, folded_prompt

# The pattern in the schema has the vocabulary alone: what folds to it depends on Unicode's tables.
FOLDED = "Other characters are folded to the vocabulary, such as capitals, or refused."
LARGEST_SEED = 2**53 - 1  # larger integers lose digits in JavaScript


def encodable(text: str) -> str:
    """Return `text` with lone surrogates, which UTF-8 cannot encode, as their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


Text = Annotated[str, BeforeValidator(encodable)]  # in an answer: what was read from a file


class Strict(BaseModel):
    """A request's body, which has exactly these fields and types."""

    model_config = ConfigDict(strict=True, extra="forbid")


def whole(value: object) -> object:
    """Return 7.0 as 7, because JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seed = Annotated[
    int,
    Field(ge=0, le=LARGEST_SEED, description="The same seed, the same answer."),
    BeforeValidator(whole),
]


def _number(name: str) -> Any:  # Any: pydantic's own type of a field's limits
    """Return the limits of a field of Sampling that is a number."""
    least, largest = LIMITS[name]
    return Field(ge=least, le=largest, allow_inf_nan=False, description=HELP[name])


class SamplingRequest(Strict):
    """How tokens are drawn: the fields of Sampling."""

    temperature: Annotated[float, _number("temperature")] = Sampling.temperature
    top_k: Annotated[int, Field(ge=0, description=HELP["top_k"]), BeforeValidator(whole)] = (
        Sampling.top_k
    )
    top_p: Annotated[float, _number("top_p")] = Sampling.top_p
    min_p: Annotated[float, _number("min_p")] = Sampling.min_p
    repetition_penalty: Annotated[float, _number("repetition_penalty")] = (
        Sampling.repetition_penalty
    )

    @property
    def sampling(self) -> Sampling:
        """These fields as a Sampling."""
        return Sampling(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Sampling)})


class AnyGenerateRequest(SamplingRequest):
    """How many documents to generate, and how, for any model."""

    num_samples: Annotated[int, Field(ge=1, le=50), BeforeValidator(whole)] = 1
    seed: Seed = 42
    prompt: str = ""


class Samples(BaseModel):
    """Generated documents."""

    samples: list[Text]


class Reply(BaseModel):
    """The assistant's message."""

    role: Literal["assistant"]
    content: Text


class Problem(BaseModel):
    """Why a request is not answered."""

    detail: str


class FieldProblem(BaseModel):
    """Why a field of a request is refused, and where it is."""

    loc: list[str | int]
    msg: str
    type: str


class Invalid(BaseModel):
    """The fields of a request that are refused."""

    detail: list[FieldProblem]


class Health(BaseModel):
    """The service is up."""

    status: Literal["ok"]


class RunSummary(BaseModel):
    """A run of a board or of this computer: the `mean` of its last losses, `bytes` in its log."""

    name: Text
    trained_on: Text
    started: Text | None
    seed: int | None
    parameters: int | None
    steps: int | None
    step: int | None
    mean: float | None
    bytes: int
    live: bool


class Runs(BaseModel):
    """All recorded runs, the latest first."""

    runs: list[RunSummary]


class LoggedStep(BaseModel):
    """A logged step and the `mean` loss since the one before; a loss that is not finite is null."""

    step: int
    loss: float | None
    mean: float | None


class RunLog(BaseModel):
    """A part of a run's log; `offset` is where the next begins, `more` whether it is there yet."""

    steps: list[LoggedStep]
    names: list[Text]
    offset: int
    more: bool


class AnyChatMessage(Strict):
    """What the user or the assistant said, for any model."""

    role: Literal["user", "assistant"]
    content: str


class AnyChatRequest(SamplingRequest):
    """A conversation to reply to, for any model."""

    messages: Sequence[AnyChatMessage]
    seed: Seed = 42
    stream: Annotated[bool, Field(description="Answer as server-sent events.")] = False


def generate_request(model: Model) -> type[AnyGenerateRequest]:
    """Return the body of a generate request, with a prompt limited to what the model can read."""
    longest = model.config.block_size - 1
    taken = {"pattern": f"^{_any_of(model.tokenizer.charset)}*$", "maxLength": longest}

    class GenerateRequest(AnyGenerateRequest):
        """How many documents to generate, and how."""

        prompt: Annotated[
            str,
            Field(description=f"What each document begins with. {FOLDED}", json_schema_extra=taken),
            AfterValidator(lambda text: folded_prompt(model, text)),
        ] = ""

    return GenerateRequest


def chat_request(model: Model) -> type[AnyChatRequest]:
    """Return the body of a chat request, with messages limited to what the model can read."""
    able = conversations.can_chat(model.tokenizer)  # a model that is not able refuses every body

    def read(text: str) -> str:
        return understood(model, text) if able else text

    taken = {
        "pattern": f"^{_any_of(model.tokenizer.charset)}+$",
        "maxLength": longest_message(model),
    }

    class ChatMessage(AnyChatMessage):
        """What the user or the assistant said."""

        content: Annotated[
            str,
            Field(min_length=1, description=FOLDED, json_schema_extra=taken if able else None),
            AfterValidator(read),
        ]

    class ChatRequest(AnyChatRequest):
        """A conversation so far, for the assistant to reply to."""

        messages: Annotated[list[ChatMessage], Field(min_length=1)]

    return ChatRequest


def _any_of(charset: str) -> str:
    """Return a regular expression for one of these characters that every dialect reads alike."""
    plain = (c.isalnum() or c == " " or not c.isascii() for c in charset)
    pairs = zip(charset, plain, strict=True)
    return "[" + "".join(c if is_plain else f"\\u{ord(c):04x}" for c, is_plain in pairs) + "]"
