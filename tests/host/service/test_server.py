"""The server: addresses that it cannot have, and Ctrl-C."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.services import MICROGPT, Service, limited, running, serving

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

HOST = b"Host: localhost\r\n\r\n"
# The server asks for the body, which then does not come.
HALF = (
    b"POST /microgpt/v1/generate HTTP/1.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\nExpect: 100-continue\r\n" + HOST
)


def test_addresses_that_cannot_be_used(names_service: Service, names_folder: Path) -> None:
    port = names_service.url.rpartition(":")[2]
    for words, reason in [
        (["--port", port], f"cannot listen at 127.0.0.1:{port}: Address already in use; choose "),
        (["--host", "nowhere.invalid"], "cannot listen at nowhere.invalid:8080: "),
        (["--host", "ü" * 70], f"cannot listen at {'ü' * 70}:8080: not the name of a host; "),
        (["--port", "65536"], "Invalid value for '--port'"),
    ]:
        result = run("serve", "--model", names_folder, *words, code=None)
        assert result.returncode in (1, 2)
        assert result.stderr.startswith(f"error: {reason}")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_service_without_a_word(
    names_folder: Path, number: signal.Signals
) -> None:
    command = [MICROGPT, "serve", "--port", "0", "--model", str(names_folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().split()[-1]
            assert httpx.get(f"{url}/health", timeout=60).status_code
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")


def test_ctrl_c_does_not_wait_for_what_still_computes(slow_folder: Path) -> None:
    with running([MICROGPT, "serve", "--port", 0, "--model", slow_folder]) as service:
        url = f"{service.url}/microgpt/v1/chat"
        body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "stream": True}
        with httpx.stream("POST", url, json=body, timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            service.process.send_signal(signal.SIGINT)
            assert "event: error" in lines
        assert service.process.wait(timeout=20) == 0
        assert service.log.read_text() == ""


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2])
def test_a_client_that_stops_in_the_middle_does_not_keep_the_service(
    names_folder: Path, signals: list[signal.Signals]
) -> None:
    with limited(names_folder, reading=600) as (service, _):
        half = [service.connect(HALF) for _ in range(3)]
        assert all(b"100 Continue" in connection.recv(1000) for connection in half)
        idle = service.connect(b"GET / HT")
        large = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\n"
        unread = service.connect((large + HOST) * 20, buffer=4096)
        unread.recv(1)
        for number in signals:
            service.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                service.process.wait(timeout=0.3)
        assert service.process.wait(timeout=15) == 0
        assert service.log.read_text() == ""
        for connection in (*half, idle, unread):
            connection.close()


def test_serve_takes_the_model_s_folder_as_an_argument_an_option_or_from_the_environment(
    names_folder: Path,
) -> None:
    model = {"MODEL_DIR": str(names_folder)}
    for words, environment in [
        (["--model", names_folder], {}),
        ([], model),
        ([names_folder], {"MODEL_DIR": "nothing"}),
    ]:
        command = ["env", *(f"{k}={v}" for k, v in environment.items()), MICROGPT, "serve"]
        with running([*command, *words, "--port", 0]) as service:
            assert httpx.get(f"{service.url}/healthz").status_code == 200
    result = run("serve", names_folder, "--model", names_folder, code=2)
    assert "not both" in result.stderr
    result = run("serve", code=2)
    assert result.stderr == "error: Missing argument 'FOLDER' (see microgpt serve --help)\n"


def test_allow_host_lets_a_name_in(names_folder: Path, tmp_path: Path) -> None:
    with serving(
        names_folder, tmp_path, "--allow-host", "pc.lan", "--allow-host", "gpt.example"
    ) as s:
        for host, status in [("PC.lan:80", 200), ("gpt.example", 200), ("other.lan", 400)]:
            response = httpx.get(f"{s.url}/healthz", headers={"Host": host})
            assert response.status_code == status
