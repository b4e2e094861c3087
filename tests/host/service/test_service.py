"""The service as its clients see it, over real HTTP; its limits, on the application itself."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.session import Chat
from microgpt.conversations import SPECIAL_TOKENS, Message

from tests.support.board_run import BoardRun

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

from microgpt.service.app import create_app  # noqa: E402 - imports FastAPI
from microgpt.service.middleware import Limits  # noqa: E402
from microgpt.service.recordings import TAIL  # noqa: E402
from microgpt.service.schemas import chat_request  # noqa: E402

LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS", 3))  # the whole of it: 30
CLIENTS = 200

HI = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def names(names_service) -> Iterator[httpx.Client]:  # noqa: ANN001
    with httpx.Client(base_url=names_service.url, timeout=60) as client:
        yield client


@pytest.fixture
def talker(chat_service) -> Iterator[httpx.Client]:  # noqa: ANN001
    with httpx.Client(base_url=chat_service.url, timeout=60) as client:
        yield client


def test_generate(names: httpx.Client, names_folder: Path) -> None:
    model = microgpt.load(names_folder)
    response = names.post("/microgpt/v1/generate", json={})
    assert response.json() == {"samples": microgpt.generate(model, 1, 0.5, 42)}
    body = {"num_samples": 50, "temperature": 1.5, "seed": 7}
    response = names.post("/microgpt/v1/generate", json=body)
    assert response.json() == {"samples": microgpt.generate(model, 50, 1.5, 7)}


def test_chat(talker: httpx.Client) -> None:
    response = talker.post("/microgpt/v1/chat", json=HI | {"temperature": 0})
    assert response.json() == {"role": "assistant", "content": "hello! what is your name?"}
    messages = [*HI["messages"], response.json(), {"role": "user", "content": "ada"}]
    response = talker.post("/microgpt/v1/chat", json={"messages": messages, "temperature": 0})
    assert response.json()["content"] == "nice to meet you, ada."


def test_a_conversation_longer_than_the_block(
    talker: httpx.Client, memorised: microgpt.Model
) -> None:
    turns = [*HI["messages"], {"role": "assistant", "content": "hello! what is your name?"}]
    messages = turns * 50 + [{"role": "user", "content": "thanks"}]
    response = talker.post("/microgpt/v1/chat", json={"messages": messages, "temperature": 0})
    talk = Chat(memorised, 0)
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
        ("generate", {"seed": -1}, "seed"),
        ("generate", {"seed": 1.5}, "seed"),
        ("generate", {"sed": 1}, "sed"),
        ("generate", {"\ud800": 1}, "body"),
        ("generate", [], "body"),
        ("chat", {}, "messages"),
        ("chat", {"messages": []}, "messages"),
        ("chat", {"messages": [{"role": "system", "content": "hi"}]}, "role"),
        ("chat", {"messages": [{"role": "user"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": ""}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "Ü"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "\ud800"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "<|end_turn|>"}]}, "content"),
        ("chat", {"messages": [{"role": "user", "content": "a" * 125}]}, "content"),
        ("chat", HI | {"temperature": -1}, "temperature"),
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


def test_a_body_over_64_kb(names: httpx.Client) -> None:
    def post(content: object) -> int:
        headers = {"Content-Type": "application/json"}
        return names.post("/microgpt/v1/generate", content=content, headers=headers).status_code

    assert post(b"{}" + b" " * (64 * 1024 - 2)) == 200
    assert post(b"{}" + b" " * (64 * 1024 - 1)) == 413
    assert post(iter([b"{}", b" " * 64 * 1024])) == 413  # chunks, without a length
    assert names.get("/healthz").status_code == 200


def test_a_model_that_cannot_chat(names: httpx.Client) -> None:
    for body in (HI, HI | {"stream": True}, {"messages": [{"role": "user", "content": "Ü!"}]}):
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
def test_errors_give_nothing_away(names: httpx.Client, path: str, status: int) -> None:
    response = names.get(path)
    assert response.status_code == status
    assert set(response.json()) == {"detail"}
    assert len(response.text) < 60


def test_docs_and_page_come_from_here(names: httpx.Client) -> None:
    page = names.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    docs = names.get("/docs").text
    assert "https://" not in docs
    assert names.get(docs.split('script src="')[1].split('"')[0]).status_code == 200


def test_addresses_that_cannot_be_had(names_service, names_folder: Path) -> None:  # noqa: ANN001
    port = names_service.url.rpartition(":")[2]
    for words, reason in [
        (["--port", port], f"cannot listen at 127.0.0.1:{port}: Address already in use; choose "),
        (["--host", "nowhere.invalid"], "cannot listen at nowhere.invalid:8080: "),
        (["--port", "65536"], "Invalid value for '--port'"),
    ]:
        command = [Path(sys.executable).with_name("microgpt"), "serve", "--model", names_folder]
        result = subprocess.run([*command, *words], capture_output=True, text=True)
        assert result.returncode in (1, 2)
        assert result.stderr.startswith(f"error: {reason}")
        assert result.stderr.count("\n") == 1


def test_the_schema_of_a_message_takes_what_the_vocabulary_has() -> None:
    charset = "a-]^\\\N{GRINNING FACE}é "
    model = microgpt.create(microgpt.ModelConfig(), charset, special_tokens=SPECIAL_TOKENS)
    schema = chat_request(model).model_json_schema()
    pattern = schema["$defs"]["ChatMessage"]["properties"]["content"]["pattern"]
    assert re.fullmatch(pattern, charset)
    for character in "b[\N{GRINNING CAT FACE WITH SMILING EYES}":
        assert not re.fullmatch(pattern, character)


# What a run recorded.


def test_a_board_s_run_that_grows(names: httpx.Client, runs_folder: Path) -> None:
    board = BoardRun(runs_folder, seed=7)
    name, log = board.folder.name, board.folder / "log.jsonl"
    board.train(range(0, 301, 10))

    def summary() -> dict:
        listed = names.get("/microgpt/v1/runs").json()["runs"]
        return next(run for run in listed if run["name"] == name)

    first = names.get(f"/microgpt/v1/runs/{name}").json()
    assert [step["step"] for step in first["steps"]] == list(range(0, 301, 10))
    assert first["steps"][0] == {"step": 0, "loss": 3.3, "mean": 3.3}
    assert summary() == {
        "name": name,
        "trained_on": "esp32",
        "started": json.loads((board.folder / "run.json").read_text())["started"],
        "seed": 7,
        "parameters": 4192,
        "steps": 1000,
        "step": 300,
        "mean": pytest.approx(sum(step["mean"] for step in first["steps"][-10:]) / 10),
        "bytes": log.stat().st_size,
        "live": True,
    }
    board.train(range(999, 1000))
    board.make_up("arona")
    second = names.get(f"/microgpt/v1/runs/{name}", params={"offset": first["offset"]}).json()
    assert [step["step"] for step in second["steps"]] == [999]
    assert second["names"] == ["arona"]
    assert second["offset"] == log.stat().st_size
    assert not second["more"]
    assert not summary()["live"]
    board.finish()


def test_a_board_that_is_done_and_makes_up_names(names: httpx.Client, runs_folder: Path) -> None:
    """Hours of names push the steps far from the end of the log."""
    done, joined = BoardRun(runs_folder, seed=9), BoardRun(runs_folder, seed=9, steps=None)
    for board in (done, joined):
        board.train(range(0, 1000, 10))
        for _ in range(10_000):
            board.make_up("arona")
        assert (board.folder / "log.jsonl").stat().st_size > 10 * TAIL
        listed = names.get("/microgpt/v1/runs").json()["runs"]
        run = next(run for run in listed if run["name"] == board.folder.name)
        last = names.get(f"/microgpt/v1/runs/{board.folder.name}").json()["steps"][-10:]
        assert run["step"] == 990
        assert run["mean"] == pytest.approx(sum(step["mean"] for step in last) / 10)
        assert not run["live"]
        board.finish()


def test_a_recording_that_ended_early_is_not_live(names: httpx.Client, runs_folder: Path) -> None:
    board = BoardRun(runs_folder, seed=8)
    board.train(range(5))

    def live() -> bool:
        listed = names.get("/microgpt/v1/runs").json()["runs"]
        return next(run["live"] for run in listed if run["name"] == board.folder.name)

    assert live()
    old = time.time() - 100
    os.utime(board.folder / "log.jsonl", (old, old))
    assert not live()  # the power failed
    board.train(range(5, 6))
    assert live()
    board.finish()
    assert not live()  # the monitor was left


def test_a_log_with_anything_in_it(names: httpx.Client, runs_folder: Path) -> None:
    folder = runs_folder / "strange"
    folder.mkdir()
    (folder / "run.json").write_text("{")
    log = folder / "log.jsonl"
    log.write_text('{"step": 0, "loss": 3.5}\n{"step": 10, "lo')
    url = "/microgpt/v1/runs/strange"
    first = names.get(url).json()
    assert first["steps"] == [{"step": 0, "loss": 3.5, "mean": 3.5}]
    with log.open("a") as file:
        file.write('ss": null, "mean": 3.1}\nnoise\n[1]\n{"step": "x"}\n')
        file.write('{"step": 20, "loss": ' + "9" * 400 + ', "mean": NaN}\n')
    second = names.get(url, params={"offset": first["offset"]}).json()["steps"]
    assert second == [
        {"step": 10, "loss": None, "mean": 3.1},
        {"step": 20, "loss": None, "mean": None},
    ]
    assert names.get(url, params={"offset": 10**6}).json()["steps"] == first["steps"] + second
    listed = names.get("/microgpt/v1/runs").json()["runs"]
    run = next(run for run in listed if run["name"] == "strange")
    assert (run["trained_on"], run["steps"], run["step"]) == ("a board", None, 20)
    assert run["mean"] == pytest.approx((3.5 + 3.1) / 2)


def test_a_run_of_this_computer(names: httpx.Client, runs_folder: Path) -> None:
    command = [Path(sys.executable).with_name("microgpt"), "train", "--steps", "30"]
    subprocess.run([*command, "--out", runs_folder / "mine"], check=True, capture_output=True)
    listed = names.get("/microgpt/v1/runs").json()["runs"]
    run = next(run for run in listed if run["name"] == "mine")
    assert (run["trained_on"], run["steps"], run["step"], run["live"]) == ("tensor", 30, 29, False)
    log = names.get("/microgpt/v1/runs/mine").json()
    losses = [step["loss"] for step in log["steps"]]
    assert run["mean"] == pytest.approx(sum(losses) / 30)
    assert [step["step"] for step in log["steps"]] == list(range(30))


# The limits, with a model that computes when it is let.


class Gate:
    """A model whose every step waits for `open`."""

    def __init__(self, model: microgpt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.tokens = 0
        original = model.decoder

        def decoder():  # noqa: ANN202
            step = original()

            def gated(token: int):  # noqa: ANN202
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


def test_ctrl_c_does_not_wait_for_what_still_computes(tmp_path: Path) -> None:
    config = microgpt.ModelConfig(n_embd=64, n_layer=4, block_size=4096)
    model = microgpt.create(config, special_tokens=SPECIAL_TOKENS)
    for token in (0, *map(model.tokenizer.special, SPECIAL_TOKENS)):
        model.weights["lm_head"][token] = 0  # never the likeliest: a reply fills the block
    model.save(tmp_path / "slow")
    command = [Path(sys.executable).with_name("microgpt"), "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--model", tmp_path / "slow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().split()[-1]
        body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "stream": True}
        with httpx.stream("POST", f"{url}/microgpt/v1/chat", json=body, timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            process.send_signal(signal.SIGINT)
            assert "event: error" in lines
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (0, "")


def test_an_internal_error_gives_nothing_away(
    memorised: microgpt.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoder() -> None:
        raise RuntimeError("a secret at /etc/passwd")

    monkeypatch.setattr(memorised, "decoder", decoder)
    app = create_app(memorised, Path("nothing"))

    async def scenario() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.post("/microgpt/v1/generate", json={})

    response = asyncio.run(scenario())
    assert (response.status_code, response.json()) == (500, {"detail": "internal error"})


# Many clients, and inputs that nobody thought of.


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc: Linux")
def test_200_clients(chat_service, memorised: microgpt.Model) -> None:  # noqa: ANN001
    """No error, the same seed the same answer, and memory steady; LOAD_SECONDS=30 for all of it."""
    samples = [microgpt.generate(memorised, 1, 1.0, seed)[0] for seed in range(10)]
    replies = []
    for seed in range(10):
        talk = Chat(memorised, 4.0, seed)
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
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{url}/openapi.json"]
    options = ["--max-examples", "20", "--no-color", "--phases", phases, "--seed", "1"]
    result = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:]
    assert "6 passed" in result.stdout
