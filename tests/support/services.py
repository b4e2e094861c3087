"""Running services, and clients of them, for the tests of the service and of its page."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

MICROGPT = Path(sys.executable).with_name("microgpt")
NO_HTTPX = "needs httpx: .venv/bin/pip install -e '.[dev]'"


@dataclass(frozen=True)
class Service:
    """A running `microgpt serve`."""

    url: str
    pid: int


@contextmanager
def serving(folder: Path, runs: Path) -> Iterator[Service]:
    """Run the service of a model; at the end, Ctrl-C must stop it without an error."""
    command = [MICROGPT, "serve", "--model", folder, "--port", "0", "--runs", runs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    try:
        said = process.stdout.readline()
        assert said.startswith("serving "), said + process.stderr.read()
        yield Service(said.split()[-1], process.pid)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs/ of the services."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def chat_service(chat_folder: Path, runs_folder: Path) -> Iterator[Service]:
    """The service of a model that can chat."""
    with serving(chat_folder, runs_folder) as service:
        yield service


@pytest.fixture(scope="session")
def names_service(names_folder: Path, runs_folder: Path) -> Iterator[Service]:
    """The service of a model that cannot chat."""
    with serving(names_folder, runs_folder) as service:
        yield service


@pytest.fixture
def names(names_service: Service) -> "Iterator[httpx.Client]":
    """A client of the service of a model that cannot chat."""
    httpx = pytest.importorskip("httpx", reason=NO_HTTPX)
    with httpx.Client(base_url=names_service.url, timeout=60) as client:
        yield client


@pytest.fixture
def talker(chat_service: Service) -> "Iterator[httpx.Client]":
    """A client of the service of a model that can chat."""
    httpx = pytest.importorskip("httpx", reason=NO_HTTPX)
    with httpx.Client(base_url=chat_service.url, timeout=60) as client:
        yield client
