"""Reset in the middle of training, on a board: it ends at the same weights as an uninterrupted run.

Needs `pytest --device PORT`. The board's own checkpoints are not touched.
"""

import re
import time
from collections.abc import Iterator

import pytest
from microgpt_board.device import ports, remote
from microgpt_board.device.remote import Remote

STEPS = 8
START_S = 120  # at most, to import and make the weights, and to start again behind the reset
FOLDER = "device-test-"  # before the names of its checkpoints
TRAIN = f"""
from binascii import crc32
from ugpt import backend, board
from ugpt.checkpoint import Checkpoints, arrays_of
from ugpt.dataset import open_dataset
from ugpt.report import Report
from ugpt.training import Training
training = Training(open_dataset(), 9, {STEPS}, kernels=backend.choose()[0])
checkpoints = Checkpoints(0, "{FOLDER}")
checkpoints.resume(training)
{{stop}}
start = board.ticks_us()
training.run(Report(1), checkpoints)
print("us", board.elapsed_us(start))
print("crc", [crc32(array) for array in arrays_of(training)])
"""
# A timer, so that it may come in the middle of a save.
RESET_SOON = """
import machine
def reset_soon(timer):
    machine.Timer(
        timer, mode=machine.Timer.ONE_SHOT, period={delay_ms}, callback=lambda _: machine.reset()
    )
try:
    reset_soon(0)
except ValueError:
    reset_soon(-1)  # a Pico has timers of software only
"""
CLEAR = f"from ugpt import checkpoint\ncheckpoint.remove('{FOLDER}')"


@pytest.fixture
def port(request: pytest.FixtureRequest) -> str:
    port = request.config.getoption("device", default=None)
    if not port:
        pytest.skip("needs a board: pytest --device PORT")
    return port


@pytest.fixture
def board(port: str) -> Iterator[Remote]:
    with remote.connect(port) as board:
        board.run(CLEAR)
        yield board
        board.run(CLEAR)


def finish(board: Remote) -> tuple[str, str]:
    """Train to the end; return the CRC32s of parameters and moments, and all that was logged."""
    text = board.run(TRAIN.format(stop=""))
    return re.search(r"^crc .*$", text, re.MULTILINE)[0].strip(), text


def duration_ms(text: str) -> float:
    """Return how long a step and its save take."""
    return int(re.search(r"^us (\d+)", text, re.MULTILINE)[1]) / 1000 / STEPS


def wait_for_start(port: str) -> None:
    """Wait until the board's own program has started, as it does behind a reset."""
    text = b""
    limit = time.monotonic() + START_S
    line = ports.open_port(port, timeout=1)
    while b"# microgpt-esp32" not in text:
        assert time.monotonic() < limit, text
        text += line.read(64)
    ports.close_port(line)


def test_reset_in_the_middle_of_training(port: str, board: Remote) -> None:
    expected, text = finish(board)
    board.run(CLEAR)
    for part in (1.5, 2.5):  # in the save after the second of its steps, or the third
        delay_ms = int(part * duration_ms(text))
        board.start(TRAIN.format(stop=RESET_SOON.format(delay_ms=delay_ms)))
        wait_for_start(port)
    found, text = finish(board)
    assert "resumed at step" in text
    assert found == expected
