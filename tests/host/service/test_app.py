"""The service's routes as its clients see them, over real HTTP: generate, chat, refusals, docs."""

import asyncio
import json
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import SPECIAL_TOKENS, Message
from microgpt.chat.session import Chat
from microgpt.sampling import Sampling

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.app import create_app  # noqa: E402 - imports FastAPI

HI = {"messages": [{"role": "user", "content": "hi"}]}


def test_generate(names: httpx.Client, names_folder: Path) -> None:
    model = microgpt.load(names_folder)
    response = names.post("/microgpt/v1/generate", json={})
    assert response.json() == {"samples": microgpt.generate(model, 1, 0.5, 42)}
    body = {"num_samples": 50, "temperature": 1.5, "seed": 7}
    response = names.post("/microgpt/v1/generate", json=body)
    assert response.json() == {"samples": microgpt.generate(model, 50, 1.5, 7)}


def test_every_field_of_sampling(
    names: httpx.Client, names_folder: Path, talker: httpx.Client, memorised: microgpt.Model
) -> None:
    fields = {"top_k": 9, "top_p": 0.95, "min_p": 0.01, "repetition_penalty": 1.2}
    model = microgpt.load(names_folder)
    body = {"num_samples": 5, "temperature": 2, "seed": 7, **fields}
    response = names.post("/microgpt/v1/generate", json=body)
    assert response.json() == {"samples": microgpt.generate(model, 5, 2.0, 7, **fields)}
    response = talker.post("/microgpt/v1/chat", json=HI | {"temperature": 4, "seed": 7, **fields})
    talk = Chat(memorised, Sampling(4.0, **fields), 7)
    talk.say(Message("user", "hi"))
    assert response.json()["content"] == "".join(talk.reply())


def test_generate_goes_on_from_a_prompt(names: httpx.Client, names_folder: Path) -> None:
    model = microgpt.load(names_folder)
    for prompt in ("em", "Má", "a" * 15, ""):
        body = {"num_samples": 3, "temperature": 1.5, "seed": 7, "prompt": prompt}
        response = names.post("/microgpt/v1/generate", json=body)
        assert response.json() == {"samples": microgpt.generate(model, 3, 1.5, 7, prompt)}


def test_chat(talker: httpx.Client) -> None:
    response = talker.post("/microgpt/v1/chat", json=HI | {"temperature": 0})
    assert response.json() == {"role": "assistant", "content": "hello! what is your name?"}
    messages = [*HI["messages"], response.json(), {"role": "user", "content": "ada"}]
    response = talker.post("/microgpt/v1/chat", json={"messages": messages, "temperature": 0})
    assert response.json()["content"] == "nice to meet you, ada."


def test_what_a_user_types_is_folded_to_the_vocabulary(talker: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "HÍ"}], "temperature": 0}
    response = talker.post("/microgpt/v1/chat", json=body)
    assert response.json() == {"role": "assistant", "content": "hello! what is your name?"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<|user|>", "'<', '|', '>' are not in the vocabulary: the model knows 2 3 a-p r-z ! , ."),
        ("a" * 125, "a message is at most 124 characters here, not 125"),
    ],
)
def test_a_message_that_cannot_be_read_says_why(
    talker: httpx.Client, content: str, message: str
) -> None:
    body = {"messages": [{"role": "user", "content": content}]}
    (problem,) = talker.post("/microgpt/v1/chat", json=body).json()["detail"]
    assert problem["msg"].startswith(f"Value error, {message}")


def test_a_conversation_longer_than_the_block(
    talker: httpx.Client, memorised: microgpt.Model
) -> None:
    turns = [*HI["messages"], {"role": "assistant", "content": "hello! what is your name?"}]
    messages = turns * 50 + [{"role": "user", "content": "thanks"}]
    response = talker.post("/microgpt/v1/chat", json={"messages": messages, "temperature": 0})
    talk = Chat(memorised, Sampling(0))
    for message in messages:
        talk.say(Message(**message))
    assert response.json()["content"] == "".join(talk.reply())


def test_a_streamed_reply_is_the_same_piece_by_piece(talker: httpx.Client) -> None:
    body = HI | {"temperature": 3, "seed": 5}
    whole = talker.post("/microgpt/v1/chat", json=body).json()
    with talker.stream("POST", "/microgpt/v1/chat", json=body | {"stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        *events, end = "".join(response.iter_text()).split("\n\n")
    assert end == ""
    *pieces, last = events
    said = [json.loads(piece.removeprefix("data: "))["content"] for piece in pieces]
    assert len(said) > 1
    assert "".join(said) == whole["content"]
    assert last == f"event: done\ndata: {json.dumps(whole)}"


def test_model_and_health(names: httpx.Client, talker: httpx.Client) -> None:
    assert names.get("/healthz").json() == {"status": "ok"}
    model = names.get("/microgpt/v1/model").json()
    assert (model["parameters"], model["can_chat"]) == (4192, False)
    assert talker.get("/microgpt/v1/model").json()["can_chat"] is True


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("generate", {"num_samples": 0}, "num_samples"),
        ("generate", {"num_samples": 51}, "num_samples"),
        ("generate", {"num_samples": "3"}, "num_samples"),
        ("generate", {"num_samples": True}, "num_samples"),
        ("generate", {"temperature": 100.1}, "temperature"),
        ("generate", {"temperature": float("nan")}, "temperature"),
        ("generate", {"top_k": -1}, "top_k"),
        ("generate", {"top_k": 2.5}, "top_k"),
        ("generate", {"top_p": 1.1}, "top_p"),
        ("generate", {"min_p": -0.1}, "min_p"),
        ("generate", {"repetition_penalty": 0}, "repetition_penalty"),
        ("generate", {"seed": -1}, "seed"),
        ("generate", {"seed": 1.5}, "seed"),
        ("generate", {"prompt": "a" * 128}, "prompt"),
        ("generate", {"prompt": "<|user|>"}, "prompt"),
        ("generate", {"prompt": "a" * 126 + "\N{LATIN SMALL LETTER SHARP S}"}, "prompt"),
        ("generate", {"prompt": "\ud800"}, "prompt"),
        ("generate", {"prompt": None}, "prompt"),
        ("generate", {"sed": 1}, "sed"),
        ("generate", {"\ud800": 1}, "body"),
        ("generate", [], "body"),
        ("chat", {}, "messages"),
        ("chat", {"messages": []}, "messages"),
        ("chat", {"messages": [{"role": "system", "content": "hi"}]}, "role"),
        ("chat", {"messages": [{"role": "user"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": ""}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "\N{GRINNING FACE}"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "\ud800"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "<|end_turn|>"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "a" * 125}]}, "content"),
        ("chat", HI | {"temperature": -1}, "temperature"),
        ("chat", HI | {"top_p": "0.9"}, "top_p"),
        ("chat", HI | {"repetition_penalty": 100.1}, "repetition_penalty"),
        ("chat", HI | {"stream": "yes"}, "stream"),
    ],
)
def test_a_bad_body_names_its_field(
    talker: httpx.Client, path: str, body: object, field: str
) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    response = talker.post(f"/microgpt/v1/{path}", content=content, headers=headers)
    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert problem["loc"][-1] == field
    assert set(problem) == {"loc", "msg", "type"}


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 60_000, b"9" * 5000, b"", b"null"])
def test_a_body_that_is_no_object(names: httpx.Client, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = names.post("/microgpt/v1/generate", content=content, headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize("path", ["generate", "chat"])
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_declared_as_json(
    talker: httpx.Client, path: str, kind: str | None
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = talker.post(f"/microgpt/v1/{path}", content=json.dumps(HI), headers=headers)
    assert response.status_code == 415
    expected = {"detail": "send JSON, with the header Content-Type: application/json"}
    assert response.json() == expected


def test_a_model_that_cannot_chat(names: httpx.Client) -> None:
    for body in (
        HI,
        HI | {"stream": True},
        {"messages": [{"role": "user", "content": "\N{GRINNING FACE}"}]},
    ):
        response = names.post("/microgpt/v1/chat", json=body)
        assert response.status_code == 409
        assert "cannot chat" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/page/nothing", 404),
        ("/page/../app.py", 404),
        ("/page/%2e%2e/app.py", 404),
        ("/microgpt/v1/runs/nothing", 404),
        ("/microgpt/v1/runs/..", 404),
        ("/microgpt/v1/runs/%2e%2e%2f%2e%2e", 404),
        ("/microgpt/v1/runs/a%00b", 404),
        ("/microgpt/v1/generate", 405),
    ],
)
def test_errors_show_no_path_and_no_code(names: httpx.Client, path: str, status: int) -> None:
    response = names.get(path)
    assert response.status_code == status
    assert set(response.json()) == {"detail"}
    assert len(response.text) < 60


def test_docs_and_page_load_nothing_from_another_host(names: httpx.Client) -> None:
    for path in ("/", "/docs", "/healthz", "/microgpt/v1/generate"):
        policy = names.get(path).headers["content-security-policy"].split("; ")
        assert {"default-src 'self'", "frame-ancestors 'none'"} <= {*policy}
    docs = names.get("/docs").text
    assert "https://" not in docs
    assert names.get(docs.split('script src="')[1].split('"')[0]).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"), [("generate", {}), ("chat", HI), ("chat", HI | {"stream": True})]
)
def test_a_model_whose_logits_are_not_finite(path: str, body: dict) -> None:
    model = microgpt.create(microgpt.ModelConfig(block_size=32), special_tokens=SPECIAL_TOKENS)
    model.weights["lm_head"][:] = float("nan")
    transport = httpx.ASGITransport(create_app({"model": model}, Path("nothing")))

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post(f"/microgpt/v1/{path}", json=body)

    response = asyncio.run(scenario())
    assert response.status_code == 500
    assert response.json()["detail"].startswith("the logits are not finite: ")


def test_an_internal_error_shows_no_path_and_no_code(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("a secret at /etc/passwd")

    monkeypatch.setattr(memorised, "generate_documents", failing)
    app = create_app({"model": memorised}, Path("nothing"))

    async def scenario() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/microgpt/v1/generate", json={})

    response = asyncio.run(scenario())
    assert (response.status_code, response.json()) == (500, {"detail": "internal error"})
