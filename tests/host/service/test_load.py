"""Many clients at once, and generated malformed requests, over real HTTP."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import Message
from microgpt.chat.session import Chat
from microgpt.sampling import Sampling

from tests.support.services import Service

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS", 3))  # in CI 15
CLIENTS = 200

HI = {"messages": [{"role": "user", "content": "hi"}]}


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc: Linux")
def test_200_clients(chat_service: Service, memorised: microgpt.Model) -> None:
    """No error, the same seed the same answer, and memory steady; 15 s in CI."""
    samples = [microgpt.generate(memorised, 1, 1.0, seed)[0] for seed in range(10)]
    replies = []
    for seed in range(10):
        talk = Chat(memorised, Sampling(4.0), seed)
        talk.say(Message("user", "hi"))
        replies.append("".join(talk.reply()))
    served = 0
    memory = []

    async def one(http: httpx.AsyncClient, number: int, end: float) -> None:
        nonlocal served
        seed = number % 10
        while time.monotonic() < end:
            if number % 2:
                body = {"temperature": 1.0, "seed": seed}
                response = await http.post("/microgpt/v1/generate", json=body)
                assert response.json() == {"samples": [samples[seed]]}
            else:
                body = HI | {"temperature": 4.0, "seed": seed, "stream": number % 4 == 0}
                response = await http.post("/microgpt/v1/chat", json=body)
                last = response.text.rsplit("data: ", 1)[-1]
                assert json.loads(last)["content"] == replies[seed]
            assert response.status_code == 200
            served += 1

    async def watch(end: float) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(LOAD_SECONDS / 10)
            memory.append(resident(chat_service.pid))

    async def scenario() -> None:
        limits = httpx.Limits(max_connections=CLIENTS)
        end = time.monotonic() + LOAD_SECONDS
        async with (
            httpx.AsyncClient(base_url=chat_service.url, timeout=60, limits=limits) as http,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(watch(end))
            for number in range(CLIENTS):
                tasks.create_task(one(http, number, end))

    asyncio.run(scenario())
    megabytes = [round(size / 2**20, 1) for size in memory]
    print(f"{served} requests in {LOAD_SECONDS:g} s, memory {megabytes} MB")
    assert served >= CLIENTS
    assert memory[-1] - memory[len(memory) // 2] < 8 * 2**20


@pytest.mark.parametrize(
    ("which", "phases"), [("names_service", "fuzzing"), ("chat_service", "coverage,fuzzing")]
)
def test_schemathesis_finds_nothing(
    which: str, phases: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(which).url
    config = Path(__file__).with_name("schemathesis.toml")
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run"]
    options = [
        f"{url}/openapi.json",
        "--max-examples",
        "20",
        "--no-color",
        "--phases",
        phases,
        "--seed",
        "1",
    ]
    result = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:]
    assert "10 passed" in result.stdout
