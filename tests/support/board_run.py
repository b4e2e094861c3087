"""A run of a board, without one: lines of its log, and the recorder told what they would say."""

from pathlib import Path

from microgpt_board.device import log
from microgpt_board.device.record import Recorder

START = (
    b"# microgpt-esp32 0.1.0 board:esp32-1.24.0 kernels:portable reason:no-kernels_xtensawin.mpy "
    b"seed:42 parameters:4192 steps:21 data:32469\r\n"
)


def step(number: int, loss: float = 2.5) -> bytes:
    """Return the line of a step, as it comes from a serial port."""
    text = f"step:{number} loss:{loss:.4f} mean:{loss:.4f} lr:0.00900 ms:3.1 free:81234\r\n"
    return text.encode()


class BoardRun:
    """A run that is recorded below `runs`; `folder` is its own."""

    def __init__(self, runs: Path, seed: int, steps: int | None = 1000) -> None:
        before = set(runs.iterdir())
        self._recorder = Recorder("/dev/ttyUSB0", runs)
        self._recorder.take(log.Start("1", "esp32", "native", "ok", seed, 4192, steps, 9))
        (self.folder,) = set(runs.iterdir()) - before

    def train(self, steps: range) -> None:
        for step in steps:
            mean = 2 + 1.3 / (1 + step / 100)
            loss = mean + step % 7 / 20
            self._recorder.take(log.Step(step, loss, mean, 0.01, 3.1, 80_000))

    def make_up(self, name: str) -> None:
        self._recorder.take(log.Name(name))

    def finish(self) -> None:
        self._recorder.finish()
