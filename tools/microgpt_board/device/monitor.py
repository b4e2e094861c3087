"""Watch a board: progress, the falling loss, the time left, the names; record its runs.

python -m microgpt_board.device.monitor --port /dev/ttyUSB0        or COM3, or socket://127.0.0.1:5555

In a pipe: the board's lines as they are, and on stderr how far the run is.
Ctrl-C leaves; the board goes on.
"""

import math
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path

from microgpt.runs.folder import RUNS
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from microgpt_board.device import log, ports
from microgpt_board.device.record import Recorder
from microgpt_board.device.serial_lines import printable, read_lines
from microgpt_board.errors import parser_of, run

CURVE_HEIGHT = 8
CURVE_WIDTH = 60
NAMES_SHOWN = 16
LINES_SHOWN = 4
PLAIN_LINES = 10  # in a pipe: how often stderr says how far the run is
BLOCKS = " ▁▂▃▄▅▆▇█"


class Watch:
    """What is known of a run from its log, and its drawing."""

    def __init__(self) -> None:
        self.errors = 0
        self.status = ""  # of the port
        self.lines: deque[str] = deque(maxlen=LINES_SHOWN)  # all but steps and names
        self._begin(None)

    def _begin(self, start: log.Start | None) -> None:
        self.start = start
        self.step: log.Step | None = None
        self.means: list[float] = []
        self.names: deque[str] = deque(maxlen=NAMES_SHOWN)
        self._since: tuple[int, float] | None = None  # a step and the time it was logged
        self._told = 0  # parts of the run

    def take(self, line: str, event: log.Event | None) -> None:
        """Take in the next line of the log, and the event that it is."""
        if isinstance(event, log.Step):
            if self.step and event.step <= self.step.step:
                self._begin(None)  # the board was reset, and its first remark lost
            self.step = event
            self.means.append(event.mean)
            self._since = self._since or (event.step, time.monotonic())
        elif isinstance(event, log.Name):
            self.names.append(event.text)
        elif isinstance(event, log.Start):
            self._begin(event)
        elif line:
            self.lines.append(printable(line))
            self.errors += isinstance(event, log.Remark) and event.text.startswith("error:")

    @property
    def seconds_left(self) -> float | None:
        """The time to the last step at the pace so far, None while that is unknown."""
        if not (self.start and self.step and self._since):
            return None
        first, since = self._since
        done = self.step.step - first
        if not done:
            return None
        return (self.start.steps - 1 - self.step.step) * (time.monotonic() - since) / done

    def figures(self) -> str:
        """One line: loss, mean, time a step, steps a second, time left, free memory."""
        step = self.step
        if not step:
            return "waiting for the first step"
        text = f"loss {step.loss:.4f}  mean {step.mean:.4f}  {step.ms:.1f} ms/step"
        if step.ms:
            text += f"  {1000 / step.ms:.1f} steps/s"
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            text += f"  {minutes}:{seconds:02} left"
        return text + f"  {step.free // 1024} KB free"

    def tell_progress(self) -> None:
        """Say on stderr how far the run is, PLAIN_LINES times in all."""
        if not self.start or self.seconds_left is None:
            return
        part = (self.step.step + 1) * PLAIN_LINES // self.start.steps
        if part != self._told:
            self._told = part
            done = f"{self.step.step + 1:,} of {self.start.steps:,} steps"
            left = timedelta(seconds=round(self.seconds_left))
            print(f"{done}, {left} left", file=sys.stderr, flush=True)

    def progress(self) -> Progress:
        """A bar of the steps done."""
        bar = Progress(TextColumn("step"), BarColumn(CURVE_WIDTH - 12), MofNCompleteColumn())
        total = self.start.steps if self.start else None
        bar.add_task("", total=total, completed=self.step.step + 1 if self.step else 0)
        return bar

    def __rich__(self) -> Group:
        parts: list = []
        if self.start:
            parts.append(
                f"{self.start.board}, {self.start.kernels} kernels ({self.start.reason}), "
                f"seed {self.start.seed}, {self.start.parameters:,} parameters, "
                f"{self.start.data:,} documents"
            )
        parts.append(self.progress())
        parts.append(self.figures())
        if self.means:
            parts.append(Panel(curve(self.means), title="mean loss", expand=False))
        if self.names:
            parts.append(Text(", ".join(self.names), style="bold green"))
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self.lines]
        if self.status:
            parts.append(Text(self.status, style="bold yellow"))
        return Group(*parts)


def curve(values: list[float], width: int = CURVE_WIDTH, height: int = CURVE_HEIGHT) -> Text:
    """Draw `values` as columns of block characters, the axis from the lowest to the highest."""
    values = [value for value in values if math.isfinite(value)] or [0.0]
    count = min(width, len(values))
    columns = []
    for i in range(count):
        part = values[i * len(values) // count : (i + 1) * len(values) // count]
        columns.append(sum(part) / len(part))
    low, high = min(columns), max(columns)
    eighths = [round((v - low) / ((high - low) or 1) * (8 * height - 1)) + 1 for v in columns]
    lines = []
    for row in reversed(range(height)):
        label = f"{high:.2f} " if row == height - 1 else f"{low:.2f} " if row == 0 else " " * 5
        lines.append(label + "".join(BLOCKS[max(0, min(8, v - 8 * row))] for v in eighths))
    return Text("\n".join(lines), style="cyan")


def show(lines: Iterable[str], watch: Watch, recorder: Recorder) -> None:
    """Show and record a board's log while it comes in, until `lines` end or Ctrl-C.

    Where the record is goes to stderr.
    """
    console = Console(highlight=False)
    live = console.is_terminal
    try:
        with Live(watch, console=console, refresh_per_second=8) if live else nullcontext():
            for line in lines:
                event = log.parse(line)
                watch.take(line, event)
                if event:
                    recorder.take(event)  # before it is shown: what was seen is on disk
                if not live:
                    print(printable(line), flush=True)
                    if isinstance(event, log.Step):
                        watch.tell_progress()
    finally:
        said = recorder.finish()
        if said:
            print(said, file=sys.stderr)


def watch_port(named: str | None, runs: Path = RUNS) -> None:
    """Show and record what comes in at a port (None: the board's, found), until Ctrl-C."""
    watch = Watch()

    def tell(status: str) -> None:
        watch.status = status
        if status and not sys.stdout.isatty():
            print(status, file=sys.stderr)

    port = ports.find_port(named)
    print(f"{port}: Ctrl-C leaves the monitor, the board goes on", file=sys.stderr)
    lines = read_lines(lambda: ports.find_port(named), tell)
    with suppress(KeyboardInterrupt):
        show(lines, watch, Recorder(port, runs))


def main() -> None:
    parser = parser_of("monitor", __doc__)
    parser.add_argument("--port", help="as pyserial knows them, socket:// too (found by itself)")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder to record in ({RUNS})")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave as with Ctrl-C
    watch_port(arguments.port, arguments.runs)


if __name__ == "__main__":
    run(main)
