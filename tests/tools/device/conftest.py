"""The prompt of a virtual board that has a finished run, and what its tests look at."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from microgpt_board.device import remote
from microgpt_board.device.ports import VIRTUAL
from microgpt_board.device.remote import Remote
from microgpt_board.emulation.micropython import run_board
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST

from tests.support.weights import SETTINGS


@pytest.fixture(scope="module")
def finished(flash: Path) -> bytes:
    """The checkpoint that a run leaves."""
    list(run_board(flash, SETTINGS))
    return (flash / NEWEST).read_bytes()


@pytest.fixture
def prompt(
    flash: Path, finished: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Remote]:
    """The prompt of a virtual board, its flash as a run left it; copies go to tmp_path."""
    monkeypatch.chdir(tmp_path)
    checkpoint.remove(f"{flash}/")
    (flash / NEWEST).write_bytes(finished)
    with remote.connect(VIRTUAL, flash) as board:
        yield board
