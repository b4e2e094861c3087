"""Fields of OpenAI's requests that change nothing at one value, and are refused at any other.

Clients send many fields always, at the values that say nothing. What is refused is refused by name,
with what works in its place.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError


class Neutral(NamedTuple):
    """The values at which a field is accepted, beside null, and what to say of any other."""

    values: Collection[object]
    advice: str = ""


ANYTHING = Neutral(())  # the field has no influence on an answer: accepted at every value
TEXT_ONLY = "the model reads and writes text only"
NO_TOOLS = "the model replies in text and calls nothing"

BOTH = {
    "frequency_penalty": Neutral((0,), "use repetition_penalty"),
    "presence_penalty": Neutral((0,), "use repetition_penalty"),
    "repeat_penalty": Neutral((1,), "its name here is repetition_penalty"),
    "typical_p": Neutral((1,), "use top_p, top_k or min_p"),
    "logit_bias": Neutral(({},), "use temperature, top_k, top_p or min_p"),
    "best_of": Neutral((1,), "use n, which returns all choices"),
    "user": ANYTHING,
    "metadata": ANYTHING,
    "safety_identifier": ANYTHING,
    "prompt_cache_key": ANYTHING,
    "prompt_cache_retention": ANYTHING,
    "prompt_cache_options": ANYTHING,
    "service_tier": Neutral(("auto", "default"), "there is one tier, default"),
    "store": Neutral((False,), "nothing is stored"),
}
CHAT = BOTH | {
    "echo": Neutral((False,), "POST /v1/completions has it"),
    "prompt": Neutral((), "send messages, or a prompt to POST /v1/completions"),
    "tools": Neutral(([],), NO_TOOLS),
    "tool_choice": Neutral(("none", "auto"), NO_TOOLS),
    "functions": Neutral(([],), NO_TOOLS),
    "function_call": Neutral(("none", "auto"), NO_TOOLS),
    "parallel_tool_calls": ANYTHING,
    "response_format": Neutral(({"type": "text"},), "the model writes plain text"),
    "modalities": Neutral((["text"],), TEXT_ONLY),
    "audio": Neutral((), TEXT_ONLY),
    "prediction": Neutral((), "the model predicts each character itself"),
    "reasoning_effort": Neutral(("none",), "the model does not reason"),
    "verbosity": Neutral(("medium",), "use max_tokens"),
    "web_search_options": Neutral((), "the model searches nothing"),
    "moderation": Neutral((), "nothing is moderated"),
}
COMPLETION = BOTH | {
    "messages": Neutral((), "send a prompt, or messages to POST /v1/chat/completions"),
    "suffix": Neutral(("",), "a document is continued at its end only"),
    "top_logprobs": Neutral((), "logprobs is their number here"),
}
# Of a message: clients repeat the assistant's as they got them, and front ends add fields of their
# own; all others are therefore accepted.
MESSAGE = {
    "refusal": Neutral((), TEXT_ONLY),
    "annotations": Neutral(([],), TEXT_ONLY),
    "audio": Neutral((), TEXT_ONLY),
    "function_call": Neutral((), NO_TOOLS),
    "tool_calls": Neutral(([],), NO_TOOLS),
    "tool_call_id": Neutral((), NO_TOOLS),
    "reasoning_content": Neutral(("",), "the model does not reason"),
}
STREAM_OPTIONS = {"include_obfuscation": Neutral((False,), "send false")}


def without_neutral(
    data: object,
    fields: Collection[str],
    neutral: Mapping[str, Neutral],
    unknown: Neutral | None = None,
) -> object:
    """Return an object of JSON with only what is in `fields` and not null.

    `unknown` is what goes for a field that is neither there nor in `neutral`; None: it is refused.
    Raises PydanticCustomError for a field that is refused; its context has the field's path, and a
    code. What is no object is returned as it is.
    """
    if not isinstance(data, dict):
        return data
    for name, value in data.items():
        if name not in fields:
            _check(name, value, fields, neutral.get(name, unknown))
    return {name: value for name, value in data.items() if name in fields and value is not None}


def _check(name: str, value: Any, fields: Collection[str], neutral: Neutral | None) -> None:
    context: dict[str, Any] = {"path": [name], "code": "unknown_parameter"}
    if neutral is None:
        context["fields"] = ", ".join(fields)
        raise PydanticCustomError("unknown", "no such field, there are {fields}", context)
    if value is None or neutral is ANYTHING or value in neutral.values:
        return
    context |= {"code": "unsupported_parameter", "advice": neutral.advice}
    raise PydanticCustomError("unsupported", "not supported, {advice}", context)
