"""What requests and answers are made of; FastAPI checks the first and describes both."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from microgpt import conversations
from microgpt.chat.session import longest_message
from microgpt.engines.base import Model
from microgpt.sampling import MOST_TEMPERATURE

LARGEST_SEED = 2**53 - 1  # the largest whole number that every JSON reader keeps


class Strict(BaseModel):
    """A body: of exactly these fields and types."""

    model_config = ConfigDict(strict=True, extra="forbid")


def _whole(value: object) -> object:
    """To JSON, 7.0 is a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Seed = Annotated[
    int,
    Field(ge=0, le=LARGEST_SEED, description="The same seed, the same answer."),
    BeforeValidator(_whole),
]


Temperature = Annotated[
    float,
    Field(ge=0, le=MOST_TEMPERATURE, allow_inf_nan=False, description="0: always the likeliest."),
]


class GenerateRequest(Strict):
    """What to make up."""

    num_samples: Annotated[int, Field(ge=1, le=50), BeforeValidator(_whole)] = 1
    temperature: Temperature = 0.5
    seed: Seed = 42


class Samples(BaseModel):
    """Documents that the model made up."""

    samples: list[str]


class Reply(BaseModel):
    """The assistant's message."""

    role: Literal["assistant"]
    content: str


class Problem(BaseModel):
    """What is wrong with a request, or with this moment."""

    detail: str


class FieldProblem(BaseModel):
    """What is wrong with a field of a request: where it is, and why it is refused."""

    loc: list[str | int]
    msg: str
    type: str


class Invalid(BaseModel):
    """A request that is refused, field by field."""

    detail: list[FieldProblem]


class Health(BaseModel):
    """The service is up."""

    status: Literal["ok"]


class RunSummary(BaseModel):
    """A run, a board's or this computer's: `mean` of its last losses, `bytes` in its log."""

    name: str
    trained_on: str
    started: str | None
    seed: int | None
    parameters: int | None
    steps: int | None
    step: int | None
    mean: float | None
    bytes: int
    live: bool


class Runs(BaseModel):
    """All of them, the latest first."""

    runs: list[RunSummary]


class Step(BaseModel):
    """A logged step, `mean` since the one before; a loss that is not a number is null."""

    step: int
    loss: float | None
    mean: float | None


class RunLog(BaseModel):
    """A part of a run's log; ask with `offset` for what came since."""

    steps: list[Step]
    names: list[str]
    offset: int
    more: bool


def chat_request(model: Model) -> type[Strict]:
    """Return the body of a chat request, its messages limited to what the model can read."""
    tokenizer = model.tokenizer
    if not conversations.can_chat(tokenizer):
        content: Any = Annotated[str, Field(min_length=1)]
    else:

        def known(text: str) -> str:
            unknown = sorted(set(text) - set(tokenizer.charset))
            if unknown:
                raise ValueError(f"{', '.join(map(ascii, unknown))} not in the vocabulary")
            return text

        content = Annotated[
            str,
            Field(
                min_length=1,
                max_length=longest_message(model),
                json_schema_extra={"pattern": f"^{_any_of(tokenizer.charset)}+$"},
            ),
            AfterValidator(known),
        ]
    message = create_model(
        "ChatMessage",
        __base__=Strict,
        __doc__="What one side said.",
        role=(Literal["user", "assistant"], ...),
        content=(content, ...),
    )
    return create_model(
        "ChatRequest",
        __base__=Strict,
        __doc__="A conversation so far, for the assistant to reply to.",
        messages=(Annotated[list[message], Field(min_length=1)], ...),  # type: ignore[valid-type]
        temperature=(Temperature, 0.5),
        seed=(Seed, 42),
        stream=(Annotated[bool, Field(description="Answer as server-sent events.")], False),
    )


def _any_of(charset: str) -> str:
    """Return a regular expression for one of these characters, in every dialect the same."""
    plain = (c.isalnum() or c == " " or not c.isascii() for c in charset)
    pairs = zip(charset, plain, strict=True)
    return "[" + "".join(c if is_plain else f"\\u{ord(c):04x}" for c, is_plain in pairs) + "]"
