"""Boards to talk to: stand-ins behind pseudo-terminals, with the real tools on the other side."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from microgpt.data import NAMES as ALL_NAMES
from microgpt_board.emulation.micropython import build_virtual, find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source

from tests.support.serial_board import MicroPythonBoard

NAMES = ("emma", "olivia", "ava", "isabella", "sophia", "mia", "amelia", "harper")


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A short list of documents."""
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES) + "\n")
    return path


@pytest.fixture
def board(tmp_path: Path) -> Iterator[MicroPythonBoard]:
    """A board that runs MicroPython, its flash empty."""
    flash = tmp_path / "flash"
    flash.mkdir()
    board = MicroPythonBoard(flash)
    yield board
    board.close()


@pytest.fixture(scope="module")
def flash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flash of a virtual board, built as `make run` does."""
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("virtual")
    build_virtual(folder, names_bin.read(Source(ALL_NAMES)))
    return folder
