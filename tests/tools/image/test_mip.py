"""What people do who use mip: the real one and mpremote's install the package, which then trains.

The board is MicroPython on this computer, its flash a LittleFS; the index is a server of this test.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from littlefs import LittleFS
from microgpt_board.device import log
from microgpt_board.emulation.micropython import run_board
from microgpt_board.image import names_bin, package
from microgpt_board.image.image import LITTLEFS
from microgpt_board.image.names_bin import Source

from tests.support.commands import microgpt_board
from tests.support.serial_board import MicroPythonBoard

ROOT = Path(__file__).parents[3]
INDEXED = "/package/6/ugpt/"  # where an index has the package, for .mpy files of version 6
PICO_W = 212  # blocks of the file system of a Pico W, 848 KB, the smallest of our boards
STEPS = 20
MIP = "import mip; mip.install('{}/package.json')"
# As MicroPython makes a file system now; the one of an image can be read by older ones too.
NEWEST = {name: value for name, value in LITTLEFS.items() if name != "disk_version"}

Made = Callable[..., MicroPythonBoard]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Made]:
    """Makes a board: so many blocks of flash, with these files, and which family."""
    boards = []

    def make(
        blocks: int, there: dict[str, bytes], family: tuple[str, str] = ("rp2", "/")
    ) -> MicroPythonBoard:
        fs = LittleFS(block_count=blocks, **NEWEST)
        for name, data in there.items():
            fs.makedirs(os.path.dirname(name), exist_ok=True)
            with fs.open(name, "wb") as file:
                file.write(data)
        flash = tmp_path / "flash.bin"
        flash.write_bytes(bytes(fs.context.buffer))
        boards.append(MicroPythonBoard(flash, *family))
        return boards[0]

    yield make
    for board in boards:
        board.close()


def flash_of(board: MicroPythonBoard) -> tuple[dict[str, bytes], int]:
    """Return the files in a board's flash, and how many blocks are taken."""
    data = board.flash.read_bytes()
    fs = LittleFS(block_count=len(data) // 4096, mount=False, **NEWEST)
    fs.context.buffer[:] = data
    fs.mount()
    found = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                found[path] = file.read()
    return found, fs.used_block_count


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a checkout, as itself and as the package ugpt of an index; give the address."""

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            path = path.replace("latest.json", "package.json").replace(INDEXED, "/")
            return super().translate_path(path)

        def log_message(self, *words: object) -> None:
            pass

    def handler(*words: object) -> Handler:
        return Handler(*words, directory=folder)

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def mpremote(board: MicroPythonBoard, *words: str, cwd: Path | None = None, code: int = 0) -> str:
    """Run mpremote; return what it says."""
    result = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "no_proxy": "127.0.0.1"},
        timeout=100,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def steps(lines: list[str]) -> list[tuple[object, ...]]:
    found = [event for event in map(log.parse, lines) if isinstance(event, log.Step)]
    return [(event.step, event.loss, event.mean, event.lr) for event in found]


def installed(below: str, folder: Path = ROOT) -> dict[str, bytes]:
    """Return the files of the package by their path on a board."""
    return {f"{below}/{name}": (folder / url).read_bytes() for name, url in package.urls(folder)}


@pytest.fixture
def small(tmp_path: Path, names: Path) -> Path:
    """The package in a folder of its own, with a short list: it is copied in a moment."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / package.MADE, folder / package.MADE)
    shutil.copytree(ROOT / package.KERNELS, folder / package.KERNELS)
    for file in (package.EXAMPLE, package.FILE):
        shutil.copyfile(ROOT / file, folder / file)
    names_bin.write(Source(names), folder / package.MADE / package.DOCUMENTS)
    return folder


def test_installed_by_mpremote_it_trains_as_make_run(make: Made, flash: Path) -> None:
    board = make(PICO_W, {})
    with served(ROOT) as address:
        said = mpremote(board, "mip", "install", f"{address}/package.json")
    assert said.endswith("Done\n")
    files, used = flash_of(board)
    assert files == installed("/lib")
    of_package = {name: (ROOT / url).read_bytes() for name, url in package.urls(ROOT)}
    assert used == 2 + package.blocks(of_package)  # the root takes 2

    trained = mpremote(board, "exec", f"import ugpt; ugpt.train(steps={STEPS}); ugpt.info()")
    lines = trained.splitlines()
    assert "names: 32469 in /lib/names.bin, 26 characters" in lines
    assert " board:rp2-1." in trained and " kernels:native reason:self-check-passed " in trained
    assert steps(lines) == steps(list(run_board(flash, {"steps": STEPS})))
    assert flash_of(board)[0].keys() == files.keys() | {"/checkpoint.bin"}
    few = "from ugpt import board; board.NAMES_TO_MAKE, board.NAME_PAUSE_MS = 3, 0; "
    assert mpremote(board, "exec", few + "import main").count("\nname:") == 3
    tested = microgpt_board("selftest", "--port", board.port)
    assert tested.stdout.endswith("\nselftest: 22 passed, 0 failed\n"), tested.stderr


def test_an_index_brings_the_next_version_and_leaves_what_is_the_persons(
    make: Made, small: Path, tmp_path: Path
) -> None:
    own = {"/main.py": b"print('mine')\n", "/ugpt.json": b'{"steps": 3}'}
    mine = tmp_path / "mine.txt"
    mine.write_text("ada\nbob\n")
    names_bin.write(Source(mine), tmp_path / "mine.bin")
    own["/names.bin"] = (tmp_path / "mine.bin").read_bytes()
    old = {"/lib/ugpt/gone.mpy": b"of a module of the past", "/lib/ugpt/rng.mpy": b"another"}
    board = make(PICO_W, own | old | {"/lib/other.py": b"a package of another\n"})
    before, _ = flash_of(board)
    with served(small) as address:
        mpremote(board, "mip", "install", "--index", address, "ugpt")
        with pytest.raises(AssertionError, match="not found"):
            mpremote(board, "mip", "install", "--index", address, "ugpt@9.9")
    assert flash_of(board)[0] == before | installed("/lib", small)
    assert "names: 2 in /names.bin, 4 characters" in mpremote(
        board, "exec", "import ugpt; ugpt.info()"
    )


def test_a_clone_is_installed_without_a_network(make: Made, small: Path, names: Path) -> None:
    board = make(PICO_W, {})
    mpremote(board, "mip", "install", "--target", "/", "./package.json", cwd=small)
    assert flash_of(board)[0] == installed("", small)
    mpremote(board, "mip", "install", "--target", "/", "./package.json", cwd=small)
    assert flash_of(board)[0] == installed("", small)
    said = mpremote(board, "exec", "import ugpt; ugpt.info(); print(ugpt.__file__)")
    assert "names: 8 in /names.bin" in said
    assert "ugpt/__init__.mpy" in said


@pytest.mark.parametrize("family", [("rp2", "/"), ("pyboard", "/flash")])
def test_a_board_with_a_network_installs_it_by_itself(make: Made, family: tuple[str, str]) -> None:
    board = make(PICO_W, {}, family)
    with served(ROOT) as address:
        assert mpremote(board, "exec", MIP.format(address)).endswith("Done\n")
    assert flash_of(board)[0] == installed("/lib")
    said = mpremote(board, "exec", "import ugpt; ugpt.train(steps=1); ugpt.info()")
    assert f"in {family[1].rstrip('/')}/lib/names.bin, 26 characters" in said
    assert flash_of(board)[0].keys() == installed("/lib").keys() | {"/checkpoint.bin"}


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (24, "ImportError: ugpt is incomplete: install it again"),
        (80, "names: /lib/names.bin is cut short: write it again"),
    ],
)
def test_where_there_is_no_room_it_says_so(make: Made, blocks: int, says: str) -> None:
    board = make(blocks, {})
    with served(ROOT) as address:
        assert "OSError: 28" in mpremote(board, "exec", MIP.format(address), code=1)
    result = mpremote(board, "exec", "import ugpt; ugpt.info()", code=int("Error" in says))
    assert says in result


def test_a_copy_that_was_cut_short_at_the_last_module_says_so(make: Made, small: Path) -> None:
    board = make(PICO_W, installed("/lib", small) | {"/lib/ugpt/version.mpy": b""})
    said = mpremote(board, "exec", "import ugpt", code=1)
    assert said.splitlines()[-1] == "ImportError: ugpt is incomplete: install it again"


def test_mpremote_names_the_file_for_which_there_is_no_room(make: Made, small: Path) -> None:
    board = make(24, {})
    said = mpremote(board, "mip", "install", "./package.json", cwd=small, code=1)
    assert said.splitlines()[-1].startswith("OSError: [Errno 28] /lib/ugpt/")
