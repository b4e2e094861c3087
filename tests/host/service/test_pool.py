"""The pool's limits of threads, queue and time, with a model whose steps the test releases."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import microgpt
import pytest
from microgpt.engines.base import DecodeStep
from microgpt.model_io import Array

from tests.support.services import limited

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.app import create_app  # noqa: E402 - imports FastAPI
from microgpt.service.middleware import Limits  # noqa: E402

HI = {"messages": [{"role": "user", "content": "hi"}]}
STREAMED = HI | {"stream": True}


class Gate:
    """A model whose every step waits for `open`."""

    def __init__(self, model: microgpt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.tokens = 0
        original = model.decoder

        def decoder() -> DecodeStep:
            step = original()

            def gated(token: int) -> Array:
                self.waiting.release()
                self.open.wait()
                self.tokens += 1
                return step(token)

            return gated

        monkeypatch.setattr(model, "decoder", decoder)
        monkeypatch.setattr(model, "generate_documents", lambda *_: None)  # but one at a time


@pytest.fixture
def gate(memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(memorised, monkeypatch)
    yield gate
    gate.open.set()


def client(model: microgpt.Model, limits: Limits) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app({"model": model}, Path("nothing"), limits))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def test_the_loop_goes_on_while_the_model_computes_and_the_queue_is_bounded(
    memorised: microgpt.Model, gate: Gate
) -> None:
    async def scenario() -> None:
        async with client(memorised, Limits(threads=1, waiting=1)) as http:
            first = asyncio.create_task(http.post("/microgpt/v1/chat", json=HI))
            await asyncio.to_thread(gate.waiting.acquire)
            assert (await http.get("/healthz")).status_code == 200
            second = asyncio.create_task(http.post("/microgpt/v1/generate", json={}))
            await asyncio.sleep(0)
            while True:  # until the second has its place, this one would be served
                third = await http.post("/microgpt/v1/chat", json=HI | {"stream": True})
                if third.status_code == 503:
                    break
            assert third.json()["detail"].startswith("too busy")
            assert third.headers["retry-after"]
            gate.open.set()
            assert (await first).status_code == (await second).status_code == 200
            assert (await http.post("/microgpt/v1/generate", json={})).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [HI, STREAMED])
def test_out_of_time(memorised: microgpt.Model, gate: Gate, body: dict) -> None:
    async def scenario() -> None:
        async with client(memorised, Limits(threads=1, seconds=0.2)) as http:
            request = asyncio.create_task(http.post("/microgpt/v1/chat", json=body))
            await asyncio.to_thread(gate.waiting.acquire)
            waiting = await http.post("/microgpt/v1/chat", json=body)  # for the only thread
            gate.open.set()  # the thread then gives up, and is free for the next request
            for response in (waiting, await request):
                assert response.status_code == 503
                assert response.json()["detail"].startswith("out of time")
            assert gate.tokens == 1

    asyncio.run(scenario())


def test_a_thread_gives_up_in_the_middle_of_a_long_prompt(
    memorised: microgpt.Model, gate: Gate
) -> None:
    prompt = {"messages": [{"role": "user", "content": "a" * 100}]}

    async def scenario() -> None:
        async with client(memorised, Limits(threads=1, seconds=1)) as http:
            request = asyncio.create_task(http.post("/microgpt/v1/chat", json=prompt))
            await asyncio.to_thread(gate.waiting.acquire)
            assert (await http.post("/microgpt/v1/generate", json={})).status_code == 503
            gate.open.set()
            assert (await request).status_code == 503
            assert gate.tokens == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/microgpt/v1/generate", {"num_samples": 50}),
        ("/microgpt/v1/chat", HI),
        ("/microgpt/v1/chat", STREAMED),
        ("/v1/completions", {"n": 50}),
        ("/v1/chat/completions", HI),
        ("/v1/chat/completions", STREAMED),
    ],
)
def test_nothing_is_computed_for_a_client_that_has_gone(
    memorised: microgpt.Model, gate: Gate, path: str, body: dict
) -> None:
    app = create_app({"model": memorised}, Path("nothing"), Limits(threads=1))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "state": {},
    }

    async def scenario() -> list:
        gone = asyncio.Event()
        received = [{"type": "http.request", "body": json.dumps(body).encode()}]
        sent = []

        async def receive() -> dict:
            if received:
                return received.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            sent.append(message)

        request = asyncio.create_task(app(scope, receive, send))
        await asyncio.to_thread(gate.waiting.acquire)
        gone.set()
        await asyncio.sleep(0)  # receive returns
        await asyncio.sleep(0)  # the request is cancelled
        gate.open.set()
        await request
        return sent

    assert asyncio.run(scenario()) == []
    assert gate.tokens == 1


def test_a_client_that_has_gone_gives_its_place_in_the_queue_back(
    slow_folder: Path,
) -> None:
    """With the real server, whose only thread would else be busy for minutes."""
    body = json.dumps({"num_samples": 50, "temperature": 0})
    head = "POST /microgpt/v1/generate HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with limited(slow_folder, threads=1, waiting=0, seconds=600) as (service, http):
        request = service.connect((head + body).encode())
        while http.post("/microgpt/v1/generate", json={"temperature": 100}).status_code == 200:
            pass  # until the request has the only place
        request.close()
        deadline = time.monotonic() + 20
        while http.post("/microgpt/v1/generate", json={"temperature": 100}).status_code == 503:
            assert time.monotonic() < deadline
