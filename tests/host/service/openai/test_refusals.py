"""What is refused below /v1, by name and in OpenAI's shape, and what is accepted unheard."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS

from tests.support.services import Service, limited

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
openai = pytest.importorskip("openai", reason="needs openai: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.app import create_app  # noqa: E402 - imports FastAPI
from microgpt.service.openai import unsupported  # noqa: E402

HI = [{"role": "user", "content": "hi"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["talk", "names"]
    model = client.models.retrieve("names")
    assert (model.id, model.object, model.owned_by) == ("names", "model", "microgpt")
    for ask in (
        lambda: client.models.retrieve("gpt-5"),
        lambda: client.chat.completions.create(model="gpt-5", messages=HI),
        lambda: client.completions.create(model="gpt-5", prompt=""),
    ):
        with pytest.raises(
            openai.NotFoundError, match="no model 'gpt-5' here: talk, names"
        ) as error:
            ask()
        assert (error.value.param, error.value.code) == ("model", "model_not_found")
        assert error.value.type == "invalid_request_error"


def test_a_model_that_cannot_chat(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'names' cannot chat: POST /v1/completions"):
        client.chat.completions.create(model="names", messages=HI)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("frequency_penalty", 0.5, "not supported, use repetition_penalty"),
        ("logit_bias", {"5": 1}, "not supported, use temperature"),
        ("tools", [{"type": "function"}], "the model replies in text and calls nothing"),
        ("tool_choice", "required", "the model replies in text"),
        ("response_format", {"type": "json_object"}, "the model writes plain text"),
        ("reasoning_effort", "high", "the model does not reason"),
        ("store", True, "nothing is stored"),
        ("modalities", ["text", "audio"], "the model reads and writes text only"),
        ("prompt", "a", "a prompt to POST /v1/completions"),
        ("sed", 1, "no such field, there are "),
        ("temperature", 101, "give at most 100"),
        ("temperature", "1", "give a finite number"),
        pytest.param("temperature", 10**400, "give a finite number", id="larger than a float"),
        ("top_p", 1.1, "give at most 1"),
        ("top_k", -2, "give at least 0"),
        ("top_k", 1.5, "give a whole number"),
        ("min_p", -1, "give at least 0"),
        ("repetition_penalty", 0, "give at least 0.01"),
        ("max_tokens", 0, "give at least 1"),
        ("n", 51, "give at most 50"),
        ("seed", -2, "give at least 0"),
        ("seed", 2**63, "give at most 9223372036854775807"),
        ("stop", "", "give a string that is not empty"),
        ("stop", 5, "give a string or an array of strings"),
        ("stop", ["a"] * 5, "give at most 4, not 5"),
        ("top_logprobs", 21, "give at most 20"),
        ("stream", "yes", "give true or false"),
        ("model", 5, "give a string"),
        ("messages", [], 'give an array of messages, such as {"role": "user", '),
        ("messages", ["hi"], "give an array of messages, such as "),
        ("messages", "hi", "give an array of messages, such as "),
        ("messages", None, "this field is required"),
        ("messages[0].role", "tool", "'user', 'assistant', 'system' or 'developer'"),
        ("messages[0].content", "", "an empty message"),
        ("messages[0].content", "  \n ", "an empty message"),
        ("messages[0].content", "\N{GRINNING FACE}", "not in the vocabulary: the model knows"),
        ("messages[0].content", "a" * 125, "at most 124 characters here, not 125"),
        ("messages[0].content", [IMAGE], "of the type text here, not 'image_url'"),
        ("messages[0].content", [{"type": "text"}], 'a part is {"type": "text", "text": "..."}'),
        ("messages[0].content", 5, 'give a string or an array of {"type": "text", '),
        ("messages[0].content", ["a"], 'a part is {"type": "text", "text": "..."}'),
        ("stream_options", "a", "give an object"),
        ("messages[0].tool_calls", [{}], "the model replies in text and calls nothing"),
        ("stream_options.include_obfuscation", True, "not supported, send false"),
    ],
)
def test_a_field_is_refused_by_name(
    client: openai.OpenAI, field: str, value: object, message: str
) -> None:
    body: dict = {"model": "talk", "messages": [{"role": "user", "content": "hi"}]}
    where, _, name = field.rpartition(".")
    {"": body, "messages[0]": body["messages"][0], "stream_options": body}[where][name] = value
    if where == "stream_options":
        body[where] = {name: body.pop(name)}
    with pytest.raises(openai.BadRequestError) as error:
        client.post("/chat/completions", body=body, cast_to=object)
    assert error.value.body["message"].startswith(f"{error.value.param}: ")
    assert message in error.value.body["message"]
    assert error.value.param in (field, f"{field}[0]")
    assert set(error.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", "\N{GRINNING FACE}", "not in the vocabulary: the model knows a-z"),
        ("prompt", "a" * 16, "a prompt is at most 15 characters, not 16"),
        ("prompt", [], "give at least 1"),
        ("prompt", [1, 2], "give a string or an array of strings; token ids are not read"),
        ("prompt", [""] * 51, "give at most 50, not 51"),
        ("logprobs", True, "give a whole number"),
        ("suffix", "a", "a document is continued at its end only"),
        ("best_of", 2, "use n, which returns all choices"),
        ("messages", HI, "messages to POST /v1/chat/completions"),
    ],
)
def test_a_field_of_completions_is_refused_by_name(
    client: openai.OpenAI, field: str, value: object, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.post("/completions", body={"model": "names", field: value}, cast_to=object)
    assert message in error.value.body["message"]
    assert error.value.param in (field, f"{field}[0]")


def test_system_messages_of_a_model_without_them(client: openai.OpenAI) -> None:
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "be nice"}, *HI]
        with pytest.raises(openai.BadRequestError, match="a system turn: leave it out") as error:
            client.chat.completions.create(model="talk", messages=messages)
        assert error.value.param == "messages[0]"


def neutral(fields: dict[str, unsupported.Neutral]) -> dict[str, object]:
    """Return a value for each of the fields with which it is accepted."""
    return {
        name: "any" if field is unsupported.ANYTHING else next(iter(field.values), None)
        for name, field in fields.items()
    }


@pytest.mark.parametrize("which", [lambda field: None, None])
def test_fields_that_change_nothing(
    client: openai.OpenAI, which: Callable[[object], None] | None
) -> None:
    """With null, and with the value that means as much; for some servers that is -1."""

    def body(fields: dict[str, unsupported.Neutral]) -> dict[str, object]:
        return dict.fromkeys(fields) if which else neutral(fields)

    plain = {"model": "talk", "temperature": 2, "seed": 1}
    whole = client.chat.completions.create(messages=HI, **plain).choices
    options = ("max_tokens", "stop", "top_p", "logprobs", "top_logprobs", "stream_options", "n")
    message = HI[0] | body(unsupported.MESSAGE) | {"metadata": {}, "options": [], "id": "a"}
    more = {
        "top_k": -1,
        "max_completion_tokens": -1,
        **dict.fromkeys(options),
        **body(unsupported.CHAT),
    }
    same = client.chat.completions.create(messages=[message], extra_body=more, **plain).choices
    assert same == whole
    more = dict.fromkeys(options[:4]) | body(unsupported.COMPLETION)
    whole = client.completions.create(prompt="h", **plain).choices
    assert client.completions.create(prompt="h", extra_body=more, **plain).choices == whole


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "message"),
    [
        ("GET", "/v1/chat/completions", b"", {}, 405, "no GET /v1/chat/completions here: there "),
        ("POST", "/v1/responses", b"{}", {}, 404, "no POST /v1/responses here: there are GET /v1"),
        ("POST", "/chat/completions", b"{}", {}, 404, "no POST /chat/completions here: there are"),
        ("GET", "/v1", b"", {}, 404, "no GET /v1 here"),
        ("POST", "/v1/completions", b"{", {}, 400, "the body is not JSON that can be read"),
        ("POST", "/v1/completions", b"[]", {}, 400, "the body is not a JSON object"),
        ("POST", "/v1/completions", b"{}", {"content-type": "text/plain"}, 415, "send JSON, with"),
        ("POST", "/v1/completions", b" " * 70_000, {}, 413, "the body is larger than 64 KB"),
        ("GET", "/v1/models", b"", {"host": "elsewhere"}, 400, "unknown host: start the service"),
        ("POST", "/v1/completions", b'{"\\ud800": 1}', {}, 400, "\\ud800: no such field"),
        ("GET", "/v1/models/%ff", b"", {}, 404, "no model '\ufffd' here: talk, names"),
    ],
)
def test_every_error_has_openais_shape(
    both_service: Service,
    method: str,
    path: str,
    content: bytes,
    headers: dict[str, str],
    status: int,
    message: str,
) -> None:
    headers = {"content-type": "application/json", "authorization": "Bearer x"} | headers
    url = f"{both_service.url}{path}"
    response = httpx.request(method, url, content=content, headers=headers, timeout=60)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["message"].startswith(message)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


def test_an_answer_that_could_be_too_large(client: openai.OpenAI) -> None:
    many = {"model": "talk", "prompt": [""] * 50, "n": 50}
    for body in (many, {"model": "talk", "prompt": "", "n": 50, "logprobs": 20}):
        with pytest.raises(openai.BadRequestError, match="at most 100,000 tokens") as error:
            client.completions.create(**body)
        assert error.value.param == "n"
    assert len(client.completions.create(**many, max_tokens=1).choices) == 2500


def test_out_of_time_before_and_after_the_first_piece(slow_folder: Path) -> None:
    """Long replies: a whole answer gets a status, a stream that has begun an event."""
    body = {"model": "model", "messages": HI, "temperature": 0, "n": 20}
    with limited(slow_folder, seconds=2) as (service, _):
        url = f"{service.url}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError, match="out of time") as error:
                client.chat.completions.create(**body)
            assert error.value.status_code == 503
            assert error.value.type == "server_error"
            stream = client.chat.completions.create(**body, stream=True)
            assert next(stream).choices[0].delta.role == "assistant"
            with pytest.raises(openai.APIError, match="out of time") as broken:
                list(stream)
            assert broken.value.type == "server_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_logits_that_are_not_finite(path: str, stream: bool) -> None:
    model = microgpt.create(microgpt.ModelConfig(block_size=32), special_tokens=SPECIAL_TOKENS)
    model.weights["lm_head"][:] = float("nan")
    transport = httpx.ASGITransport(create_app({"broken": model}, Path("nothing")))
    body = {"stream": stream} | ({"messages": HI} if path.startswith("chat") else {"prompt": "a"})

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post(f"/v1/{path}", json=body)

    response = asyncio.run(scenario())
    assert response.status_code == 500
    assert response.json()["error"]["message"].startswith("the logits are not finite: ")


def test_a_vocabulary_with_half_a_character() -> None:
    """JSON has an escape for it, UTF-8 has none."""
    model = microgpt.create(microgpt.ModelConfig(n_embd=4, block_size=8), "\ud800b")
    transport = httpx.ASGITransport(create_app({"half": model}, Path("nothing")))
    body = {"prompt": "b", "echo": True, "logprobs": 3}

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/v1/completions", json=body)

    response = asyncio.run(scenario())
    assert response.status_code == 200
    assert "\ud800" in json.loads(response.content)["choices"][0]["logprobs"]["top_logprobs"][0]
