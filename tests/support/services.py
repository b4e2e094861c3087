"""Running services, and clients of them, for the tests of the service and of its page."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

MICROGPT = Path(sys.executable).with_name("microgpt")
NO_HTTPX = "needs httpx: .venv/bin/pip install -e '.[dev]'"


# A service with other limits (a JSON object of fields of Limits) than the command has.
LIMITED = """
import json, sys
from pathlib import Path
import microgpt
from microgpt.service.middleware import Limits
from microgpt.service.server import serve

def announce(url):
    print("serving at", url, flush=True)

limits = Limits(**json.loads(sys.argv[2]))
models = {"model": microgpt.load(sys.argv[1])}
serve(models, "127.0.0.1", 0, Path("nothing"), announce, limits=limits)
"""


@dataclass(frozen=True)
class Service:
    """A running `microgpt serve`."""

    url: str
    process: "subprocess.Popen[str]"
    log: Path  # its stderr

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

    def connect(self, sent: bytes = b"", buffer: int | None = None) -> socket.socket:
        """Return a new connection on which `sent` was sent; `buffer`: bytes that it receives."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        connection = socket.socket()
        connection.settimeout(20)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.connect((host, int(port)))
        connection.sendall(sent)
        return connection


@contextmanager
def running(command: Sequence[object], open_files: int | None = None) -> Iterator[Service]:
    """Run a command that serves, and kill it if it has not ended; `open_files`: what it may open.

    It is started by sh, which sets the limit of open files.
    """
    limit = f"ulimit -n {open_files} && " if open_files else ""
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            ["sh", "-c", f'{limit}exec "$@"', "sh", *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout
        try:
            said = process.stdout.readline()
            assert said.startswith("serving "), said + Path(log.name).read_text()
            yield Service(said.split()[-1], process, Path(log.name))
        finally:
            process.kill()
            process.communicate()


@contextmanager
def serving(folder: Path, runs: Path, *words: object) -> Iterator[Service]:
    """Run the service of a model; at the end, Ctrl-C must stop it without an error."""
    command = [MICROGPT, "serve", folder, "--port", 0, "--runs", runs, *words]
    with running(command) as service:
        yield service
        assert service.process.poll() is None
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=30) == 0
        assert "Traceback" not in service.log.read_text()


@contextmanager
def limited(
    folder: Path, open_files: int | None = None, **limits: float
) -> "Iterator[tuple[Service, httpx.Client]]":
    """Run the service of a model with these limits, and a client of it."""
    httpx = pytest.importorskip("httpx", reason=NO_HTTPX)
    command = [sys.executable, "-c", LIMITED, folder, json.dumps(limits)]
    with running(command, open_files) as service:
        keep = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=service.url, timeout=20, limits=keep) as client:
            yield service, client


@pytest.fixture(scope="session")
def served_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs/ of the services."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def runs_folder(served_runs: Path) -> Iterator[Path]:
    """The runs/ of the services, empty again after a test: its runs would be live in others."""
    yield served_runs
    for run in served_runs.iterdir():
        shutil.rmtree(run)


@pytest.fixture(scope="session")
def chat_service(chat_folder: Path, served_runs: Path) -> Iterator[Service]:
    """The service of a model that can chat."""
    with serving(chat_folder, served_runs) as service:
        yield service


@pytest.fixture(scope="session")
def names_service(names_folder: Path, served_runs: Path) -> Iterator[Service]:
    """The service of a model that cannot chat."""
    with serving(names_folder, served_runs) as service:
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
