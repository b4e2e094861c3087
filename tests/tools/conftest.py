"""Boards to talk to: stand-ins behind pseudo-terminals, with the real tools on the other side."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serial_board import MicroPythonBoard

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
