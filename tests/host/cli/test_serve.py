"""The port of `microgpt serve`: --port, then MICROGPT_PORT, then PORT where it is a number."""

from pathlib import Path

import microgpt
import pytest

from tests.support.commands import run

pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports that `microgpt serve` was started with; it serves nothing."""
    started = []
    monkeypatch.setattr(
        "microgpt.service.server.serve",
        lambda models, host, port, *rest: started.append(port),
    )
    microgpt.create(microgpt.ModelConfig(n_embd=4)).save(tmp_path / "m")
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "m"))
    for name in ("PORT", "MICROGPT_PORT"):
        monkeypatch.delenv(name, raising=False)
    return started


@pytest.mark.parametrize(
    ("environment", "words", "port"),
    [
        ({}, [], 8080),
        ({"PORT": "9001"}, [], 9001),
        ({"PORT": "/dev/ttyUSB0"}, [], 8080),
        ({"PORT": "socket://localhost:5555"}, [], 8080),
        ({"PORT": "COM3"}, [], 8080),
        ({"PORT": ""}, [], 8080),
        ({"PORT": "9001", "MICROGPT_PORT": "9002"}, [], 9002),
        ({"PORT": "/dev/ttyUSB0", "MICROGPT_PORT": "9002"}, [], 9002),
        ({"PORT": "9001", "MICROGPT_PORT": "9002"}, ["--port", "9003"], 9003),
        ({"PORT": "/dev/ttyUSB0"}, ["--port", "0"], 0),
    ],
)
def test_where_the_port_is_from(
    ports: list[int],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    words: list[str],
    port: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run("serve", *words)
    assert ports == [port]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MICROGPT_PORT": "/dev/ttyUSB0"}, "'/dev/ttyUSB0' is not a valid integer range"),
        ({"PORT": "99999"}, "99999 is not in the range 0<=x<=65535"),
    ],
)
def test_a_port_that_is_none(
    ports: list[int],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    message: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    error = run("serve", code=2).stderr
    assert message in error
    assert error.count("\n") == 1
    assert ports == []
