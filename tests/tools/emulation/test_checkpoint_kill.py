"""The virtual board, interrupted: SIGKILL for the power, and Ctrl-C; it ends as if it had not."""

import json
import os
import random
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from microgpt_board.device import log
from microgpt_board.emulation.micropython import find_micropython
from ugpt import checkpoint
from ugpt.board import CTRL_C
from ugpt.checkpoint import NEWEST, OLDER

from tests.support.kernels import make_portable, native_kernels

NAMES = Path(__file__).parents[3] / "data" / "names.txt"
KILLS = 50
STEPS = {"portable": 30, "native": 400}
LONGEST_S = 0.4  # from the first line on: a run takes about twice that
SETTINGS = {"seed": 42, "save_every_s": 0, "log_every": 1}


class Board:
    """A virtual board and its flash."""

    def __init__(self, flash: Path, steps: int) -> None:
        self.flash = flash
        self.steps = steps
        self.newest = flash / NEWEST
        self.older = flash / OLDER
        self.code = 0  # how the last run ended

    def clear(self) -> None:
        checkpoint.remove(f"{self.flash}/")

    def saved_step(self) -> int:
        """Return the step of the newest checkpoint, 0 if there is none; it must be whole."""
        if not self.newest.exists():
            return 0
        with self.newest.open("rb") as file:
            return checkpoint.read_header(file, NEWEST)["step"]

    def run(
        self,
        kill_after_s: float | None = None,
        ctrl_c_after_lines: int | None = None,
        **settings: int,
    ) -> list[log.Event]:
        """Start it, interrupt it `kill_after_s` behind its first line, return what it logged."""
        (self.flash / "ugpt.json").write_text(
            json.dumps({**SETTINGS, "steps": self.steps, **settings})
        )
        command = [find_micropython(), "-X", "heapsize=2M", "main.py"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=self.flash, text=True, **pipes) as board:
            lines = [board.stdout.readline() for _ in range(ctrl_c_after_lines or 1)]
            if ctrl_c_after_lines:
                with suppress(BrokenPipeError):  # it has ended
                    os.write(board.stdin.fileno(), bytes((CTRL_C,)))  # no buffer to close later
            if kill_after_s is not None:
                try:
                    board.wait(kill_after_s)
                except subprocess.TimeoutExpired:
                    board.kill()
            lines += board.stdout.readlines()
        self.code = board.returncode
        return [event for line in lines if (event := log.parse(line.rstrip("\n")))]


@pytest.fixture(scope="module", params=STEPS)
def board(
    request: pytest.FixtureRequest, flash: Path, tmp_path_factory: pytest.TempPathFactory
) -> Board:
    if request.param == "native":
        native_kernels(flash)
    # A folder of its own: a worker that takes over tests of another one sets this up again.
    board = tmp_path_factory.mktemp(request.param)
    shutil.copytree(flash, board, dirs_exist_ok=True)
    if request.param == "portable":
        make_portable(board)
    return Board(board, STEPS[request.param])


@pytest.fixture(scope="module")
def expected(board: Board) -> bytes:
    """The last checkpoint of a run that nothing interrupts."""
    board.clear()
    events = board.run()
    assert sum(isinstance(event, log.Step) for event in events) == board.steps
    return board.newest.read_bytes()


def remarks(events: list[log.Event]) -> list[str]:
    """Return the remarks but for the one on memory."""
    texts = [event.text for event in events if isinstance(event, log.Remark)]
    return [text for text in texts if not text.startswith("training takes ")]


def test_killed_50_times_and_resumed_ends_with_the_same_bits(board: Board, expected: bytes) -> None:
    rng = random.Random(1)
    kills = resumed = 0
    while kills < KILLS:
        board.clear()
        while board.saved_step() < board.steps:
            text = " ".join(remarks(board.run(kill_after_s=rng.uniform(0.0, LONGEST_S))))
            assert "damaged" not in text
            resumed += "resumed at step" in text
            kills += board.code == -signal.SIGKILL
        assert board.newest.read_bytes() == expected
    assert resumed > KILLS / 3


def test_ctrl_c_saves_and_the_run_ends_with_the_same_bits(board: Board) -> None:
    rng = random.Random(2)
    rare = {"save_every_s": 1000, "steps": 10 * board.steps}
    board.clear()
    board.run(**rare)
    expected = board.newest.read_bytes()
    board.clear()
    saved = 0
    while board.saved_step() < rare["steps"]:
        before = board.saved_step()
        events = board.run(ctrl_c_after_lines=rng.randrange(2, board.steps), **rare)
        assert f"saved at step {board.saved_step()} of {rare['steps']}" in remarks(events)
        assert board.saved_step() > before
        saved += 1
    assert board.newest.read_bytes() == expected
    assert saved > 1  # the board may be a pipe of lines ahead


def test_a_finished_run_goes_straight_to_names(board: Board, expected: bytes) -> None:
    board.clear()
    first = board.run()
    second = board.run()
    assert board.newest.read_bytes() == expected
    assert remarks(second) == [f"complete at step {board.steps} of {board.steps} from {NEWEST}"]
    names = [event for event in first if isinstance(event, log.Name)]
    assert len(names) == 20
    assert second[3:] == names


def test_a_damaged_one_is_reported_and_the_one_before_taken(board: Board, expected: bytes) -> None:
    board.clear()
    board.run()
    data = bytearray(expected)
    data[checkpoint.HEADER_SIZE] ^= 1
    board.newest.write_bytes(data)
    assert remarks(board.run())[:2] == [
        f"{NEWEST} is damaged: its CRC32 differs",
        f"resumed at step {board.steps - 1} of {board.steps} from {OLDER}",
    ]
    assert board.newest.read_bytes() == expected


def test_one_of_another_run_is_not_overwritten(board: Board, expected: bytes) -> None:
    board.clear()
    board.newest.write_bytes(expected)
    events = board.run(steps=3)
    assert f"is of another run (steps {board.steps}, not 3): it is left alone" in remarks(events)[0]
    assert sum(isinstance(event, log.Step) for event in events) == 3
    assert board.newest.read_bytes() == expected
    assert not board.older.exists()
