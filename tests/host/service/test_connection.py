"""The limits of connections, with the real server and clients that stop in the middle."""

import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.services import limited

httpx = pytest.importorskip("httpx", reason="needs httpx: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the server ends the connection."""
    with connection:
        parts = []
        try:
            while part := connection.recv(1 << 16):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


def answer_to(http: httpx.Client) -> None:
    """Ask until there is an answer, at most 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
            assert http.get("/").status_code == 200
            return
    raise AssertionError("no answer")


def test_a_connection_without_a_request_is_ended(names_folder: Path) -> None:
    with limited(names_folder, idle=0.3) as (service, http):
        silent = [service.connect() for _ in range(60)]
        half_a_head = service.connect(HEALTH[:30])
        between_requests = service.connect(HEALTH)
        half_a_second_head = service.connect(HEALTH + HEALTH[:30])
        assert [everything(connection) for connection in silent] == [b""] * 60
        assert everything(half_a_head) == b""
        for connection in (between_requests, half_a_second_head):
            assert everything(connection).count(b"200 OK") == 1
        assert http.get("/healthz").status_code == 200
        assert service.log.read_text() == ""


def test_a_head_that_comes_a_byte_at_a_time_is_ended(names_folder: Path) -> None:
    with limited(names_folder, idle=0.3) as (service, _):
        connection = service.connect()
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - a reset or a broken pipe
            while time.monotonic() < began + 20:
                connection.sendall(b"a")
                time.sleep(0.02)
        connection.close()


def test_a_client_that_does_not_read_is_ended(names_folder: Path) -> None:
    with limited(names_folder, idle=600, exchange=0.5, connections=1) as (service, http):
        connection = service.connect(LARGE * 20, buffer=4096)  # more than the system holds
        assert connection.recv(1) == b"H"
        answer_to(http)  # when the only place is free
        assert len(everything(connection)) < 20 * 10**6


def test_half_a_body_is_answered_and_ended(names_folder: Path) -> None:
    head = b"POST /microgpt/v1/generate HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with limited(names_folder, reading=0.3) as (service, http):
        answer = everything(service.connect(head + b'{"seed": '))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"detail":"no whole body after 0.3 seconds"}' in answer
        assert http.get("/healthz").status_code == 200


def test_more_connections_than_the_limit_are_refused(names_folder: Path) -> None:
    with limited(names_folder, connections=3) as (service, http):
        kept = [service.connect(HEALTH) for _ in range(3)]
        assert all(b"200 OK" in connection.recv(1000) for connection in kept)
        assert everything(service.connect()) == b""
        kept.pop().close()
        answer_to(http)
        for connection in kept:
            connection.close()


def test_at_the_limit_of_open_files_the_log_stays_short(names_folder: Path) -> None:
    with limited(names_folder, open_files=48) as (service, http):
        connections = [service.connect() for _ in range(100)]
        assert [everything(connection) for connection in connections[48:]] == [b""] * 52
        for connection in connections[:48]:
            connection.close()
        answer_to(http)
        lines = service.log.read_text().splitlines()
        assert len(lines) <= 1
        assert all("new connections wait" in line for line in lines)
