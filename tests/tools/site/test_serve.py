"""A built site is served with the types that browsers insist on."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from microgpt_board.site.serve import PORT, default_port

from tests.support.commands import microgpt_board

COMMAND = Path(sys.executable).with_name("microgpt-board")
TYPES = {
    "site.json": "application/json",
    "main.js": "text/javascript",
    "micropython.wasm": "application/wasm",
    "manifest.webmanifest": "application/manifest+json",
    "site.css": "text/css",
    "": "text/html",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of each kind."""
    for name in TYPES:
        (tmp_path / (name or "index.html")).write_bytes(b"{}")
    return tmp_path


def test_files_have_their_types_and_ctrl_c_ends_it(folder: Path) -> None:
    command = [COMMAND, "site-serve", folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout and p.stderr
        said = p.stdout.readline()
        assert said.startswith(f"serving {folder}, until Ctrl-C, at http://127.0.0.1:")
        for name, kind in TYPES.items():
            with urllib.request.urlopen(said.split()[-1] + name) as answer:
                assert answer.headers["Content-Type"] == kind
                assert answer.headers["Cache-Control"] == "no-cache"
        p.send_signal(signal.SIGINT)
        assert p.wait(20) == 0
        assert p.stderr.read() == ""


def test_without_a_site_a_line_says_how_to_build_one(tmp_path: Path) -> None:
    result = microgpt_board("site-serve", tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith(f"there is no site in {tmp_path}: make site builds it\n")


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = microgpt_board("site-serve", folder, "--port", port)
    assert result.returncode == 1
    assert f"port {port} is taken or not allowed: name another with --port" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "port"), [("8001", 8001), ("/dev/ttyUSB0", PORT), ("COM3", PORT), ("", PORT)]
)
def test_where_the_port_is_from(
    environment: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", environment)
    assert default_port() == port
