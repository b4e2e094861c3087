"""Which release of MicroPython an image gets, and how it is fetched."""

import dataclasses
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from microgpt.boards import BOARDS, Board
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, image

from tests.support.commands import microgpt_board
from tests.support.release import release

ESP32 = boards.find("ESP32_GENERIC")
C3 = boards.find("ESP32_GENERIC_C3")
known = pytest.mark.parametrize(
    "board",
    [board for board in BOARDS.values() if board.release.sha256],
    ids=lambda board: board.name,
)


class Server(http.server.BaseHTTPRequestHandler):
    """micropython.org, with a release for each board, the same of all versions."""

    requests: list[str] = []

    def do_GET(self) -> None:
        file = self.path.removeprefix("/")
        self.requests.append(file)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(release(BOARDS[file.split("-20")[0]]))

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """A server with releases, and an empty cache; the files that it was asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as http_server:
        threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(boards, "FIRMWARE_URL", f"http://127.0.0.1:{http_server.server_port}/")
        Server.requests.clear()
        yield Server.requests
        http_server.shutdown()


def pinned(board: Board) -> Board:
    """Return a board whose releases have the checksum of what the server gives."""
    sha256 = hashlib.sha256(release(board)).hexdigest()
    return dataclasses.replace(
        board,
        releases=tuple(dataclasses.replace(each, sha256=sha256) for each in board.releases),
    )


@known
def test_the_release_is_fetched_once(server: list[str], board: Board):
    for _ in range(2):
        assert image.find_firmware(pinned(board), None).read_bytes() == release(board)
    version = "20241025-v1.24.0" if board == ESP32 else "20260406-v1.28.0"
    assert server == [f"{board.name}-{version}.bin"]


@known
def test_a_release_that_differs_is_not_kept(server: list[str], board: Board):
    with pytest.raises(ToolError, match=f"expected {board.release.sha256}: not kept"):
        image.find_firmware(board, None)
    assert not (image.cache_folder() / board.firmware).exists()


def test_the_command_fetches_the_release_that_is_chosen(
    server: list[str], tmp_path: Path, names: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for board in (ESP32, C3):
        monkeypatch.setitem(BOARDS, board.name, pinned(board))
    for words in (["--release", "v1.28.0"], ["--board", C3.name], []):
        result = microgpt_board("image", *words, "--names", names)
        assert result.returncode == 0, result.stderr
    assert server == [
        "ESP32_GENERIC-20260406-v1.28.0.bin",
        "ESP32_GENERIC_C3-20260406-v1.28.0.bin",
        "ESP32_GENERIC-20241025-v1.24.0.bin",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--release", "v1.27.0"], "no release v1.27.0 of MicroPython is known for ESP32_GENERIC"),
        (["--release", "v1.28.0", "--firmware", "x.bin"], "FIRMWARE= names a file with a release"),
    ],
)
@pytest.mark.parametrize("verb", ["image", "flash", "emulate"])
def test_what_the_commands_refuse(verb: str, words: list[str], complaint: str):
    result = microgpt_board(verb, *words)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {complaint}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["image", "flash"])
@pytest.mark.parametrize("words", [(), ("--release", "v1.24.0")])
def test_a_board_without_an_image_takes_no_release(verb: str, words: tuple[str, ...]):
    result = microgpt_board(verb, "--board", "RPI_PICO2", *words)
    assert result.returncode == 1
    assert result.stderr.startswith("error: a Raspberry Pi Pico 2 has no image, since esptool ")
    assert len(result.stderr.splitlines()) == 1


def test_without_a_network_it_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(boards, "FIRMWARE_URL", "http://127.0.0.1:1/")
    with pytest.raises(ToolError) as caught:
        image.find_firmware(ESP32, None)
    assert "cannot fetch http://127.0.0.1:1/ESP32_GENERIC-20241025-v1.24.0.bin" in str(caught.value)
    assert str(tmp_path / "microgpt-esp32" / ESP32.firmware) in str(caught.value)


def test_without_a_known_checksum_it_says_what_to_fetch():
    board = boards.find("ESP32_GENERIC_S3-SPIRAM_OCT")
    with pytest.raises(ToolError, match="fetch https://micropython.org/.*_S3-.*bin yourself") as no:
        image.find_firmware(board, None)
    assert str(no.value).endswith(f"make flash BOARD={board.name} FIRMWARE={board.firmware}")


def test_no_such_firmware(tmp_path: Path):
    with pytest.raises(ToolError, match="FIRMWARE=.*missing.bin is not a file"):
        image.find_firmware(ESP32, tmp_path / "missing.bin")
