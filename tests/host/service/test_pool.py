"""The pool's limits of threads, queue and time, with a model whose steps the test releases."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import microgpt
import pytest
from microgpt.engines.base import DecodeStep
from microgpt.model_io import Array

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.app import create_app  # noqa: E402 - imports FastAPI
from microgpt.service.middleware import Limits  # noqa: E402

HI = {"messages": [{"role": "user", "content": "hi"}]}


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


@pytest.fixture
def gate(memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(memorised, monkeypatch)
    yield gate
    gate.open.set()


def client(model: microgpt.Model, limits: Limits) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(model, Path("nothing"), limits))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


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


@pytest.mark.parametrize("body", [HI, HI | {"stream": True}])
def test_out_of_time(memorised: microgpt.Model, gate: Gate, body: dict) -> None:
    async def scenario() -> None:
        async with client(memorised, Limits(threads=1, seconds=0.2)) as http:
            response = await http.post("/microgpt/v1/chat", json=body)
            assert response.status_code == 503
            assert response.json()["detail"].startswith("out of time")
            gate.open.set()  # the thread then gives up, and is free for the next request

    asyncio.run(scenario())


def test_a_thread_gives_up_in_the_middle_of_a_long_prompt(
    memorised: microgpt.Model, gate: Gate
) -> None:
    prompt = {"messages": [{"role": "user", "content": "a" * 100}]}

    async def scenario() -> None:
        async with client(memorised, Limits(threads=1, seconds=3)) as http:
            gate.open.set()
            assert (await http.post("/microgpt/v1/generate", json={})).status_code == 200
            samples = gate.tokens
            gate.open.clear()
            assert (await http.post("/microgpt/v1/chat", json=prompt)).status_code == 503
            gate.open.set()
            # Begins when the only thread is done with the prompt: with one token of it.
            assert (await http.post("/microgpt/v1/generate", json={})).status_code == 200
            assert gate.tokens == samples + 1 + samples

    asyncio.run(scenario())
