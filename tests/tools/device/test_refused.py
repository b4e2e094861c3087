"""A board goes on after a deploy, or a push, that was refused: nothing is left interrupted."""

import json
from collections.abc import Callable
from pathlib import Path

import microgpt
import pytest
from microgpt_board.device import deploy
from microgpt_board.errors import ToolError
from microgpt_board.image.names_bin import Source
from microgpt_board.image.sizes import Settings

from tests.support.commands import microgpt_board
from tests.support.serial_board import MicroPythonBoard
from tests.tools.device.test_deploy import LONG_RUN, Remembered, assert_trains, run_tool


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


def refused_for_memory(board: Remembered) -> Settings:
    return {"n_layer": 5}


def refused_for_room(board: Remembered) -> Settings:
    board.found["space"] = 4096
    return {}


def refused_for_its_settings(board: Remembered) -> Settings:
    board.found["settings"] = b"{broken".hex()
    return {"n_embd": 24}


def refused_for_micropython(board: Remembered) -> Settings:
    board.found["mpy"] = 5
    return {}


def refused_for_its_file_system(board: Remembered) -> Settings:
    board.found["block"] = 0
    return {}


@pytest.mark.parametrize(
    "reason",
    [
        refused_for_memory,
        refused_for_room,
        refused_for_its_settings,
        refused_for_micropython,
        refused_for_its_file_system,
    ],
)
def test_a_board_is_restarted_when_it_is_interrupted_and_refused(
    tmp_path: Path, names: Path, reason: Callable[[Remembered], Settings]
):
    board = Remembered("ff" * 32)
    given = reason(board)
    with pytest.raises(ToolError):
        deploy.deploy(board, Source(names), tmp_path / "files", given)
    assert board.restarted and not board.copied


def test_a_board_is_not_interrupted_for_a_list_that_cannot_be_read(tmp_path: Path):
    board = Remembered("")
    (tmp_path / "latin.txt").write_bytes(b"J\xfcrgen\n")
    for file, message in (("none.txt", "cannot read"), ("latin.txt", "is not UTF-8 text")):
        with pytest.raises(ToolError, match=message):
            deploy.deploy(board, Source(tmp_path / file), tmp_path / "files")
    assert not board.asked and not board.restarted


def test_a_board_that_trains_trains_on_after_a_refusal(
    board: MicroPythonBoard, names: Path, tmp_path: Path
):
    (board.flash / "ugpt.json").write_text(json.dumps(LONG_RUN))
    assert run_tool(board.port, names).returncode == 0
    assert_trains(board.port)
    microgpt.create(microgpt.ModelConfig(), "xyz").save(tmp_path / "model")
    port = ["--port", board.port]
    for words, reason in (
        (["deploy", *port, "--names", names, "--n-embd", "200"], "error: this board: "),
        (["push", tmp_path / "model", *port], f"error: {tmp_path}/model and the board's list of"),
    ):
        refused = microgpt_board(*words)
        assert refused.returncode == 1
        assert refused.stderr.startswith(reason)
        assert_trains(board.port)
