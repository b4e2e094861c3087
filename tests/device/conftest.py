"""The board of these tests: the one at --device, else MicroPython behind a pseudo-terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from microgpt.data import NAMES
from microgpt_board.emulation.micropython import build_virtual
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source

from tests.support.serial_board import MicroPythonBoard


@pytest.fixture
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The port of a board that has the program and the documents in data/names.txt."""
    given = request.config.getoption("device")
    if given:
        yield given
        return
    build_virtual(tmp_path, names_bin.read(Source(NAMES)))
    (tmp_path / "main.py").unlink()  # what is to run is sent
    board = MicroPythonBoard(tmp_path)
    yield board.port
    board.close()
