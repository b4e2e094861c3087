"""Watch a board: progress, loss, time left, generated names; record its runs.

In a terminal it is a live view. In a pipe: the board's lines, and the progress on stderr.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import click
from microgpt.cli.options import PATH, tensorboard_option
from microgpt.runs.folder import RUNS
from microgpt.system.terminal import printable
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from microgpt_board.device import log, ports
from microgpt_board.device.ports import BACK_S, port_option
from microgpt_board.device.record import Recorder
from microgpt_board.device.remote import FORGET, Remote
from microgpt_board.device.serial_lines import read_lines

CURVE_HEIGHT = 8
CURVE_WIDTH = 60
NAMES_SHOWN = 16
LONGEST_IN_A_ROW = 20  # characters; with a longer name, or one with a blank, each has its line
LINES_SHOWN = 4
PLAIN_LINES = 10  # in a pipe: lines of progress on stderr in a run
MOST_SECONDS = 10**9
SOFT_RESET = b"\x04"  # Ctrl-D at the prompt
BLOCKS = " ▁▂▃▄▅▆▇█"


class Watch:
    """The state of a run according to its log, and its live view."""

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
        """Update the state by the next line of the log, and the event in it."""
        if isinstance(event, log.Step):
            if self.step and event.step <= self.step.step:
                self._begin(None)  # the board was reset, and its first remark lost
            self.step = event
            self.means.append(event.mean)
            self._since = self._since or (event.step, time.monotonic())
        elif isinstance(event, log.Name):
            if self.start is None or self.start.can_generate(event):
                self.names.append(printable(event.text))
        elif isinstance(event, log.Start):
            self._begin(event)
        elif line:
            self.lines.append(printable(log.legible(line)))
            self.errors += isinstance(event, log.Remark) and event.text.startswith("error:")

    @property
    def seconds_left(self) -> float | None:
        """The time to the last step at the speed so far, None while that is unknown.

        At most MOST_SECONDS, which is more than any board needs.
        """
        if not (self.start and self.step and self._since):
            return None
        first, since = self._since
        done = self.step.step - first
        if not done:
            return None
        rest = self.total - 1 - self.step.step
        return min(MOST_SECONDS, rest * (time.monotonic() - since) / done)

    @property
    def total(self) -> int:
        """The steps of the run, 0 if unknown: as its start says, or more if it has taken more."""
        taken = self.step.step + 1 if self.step else 0
        return max(self.start.steps, taken) if self.start else 0

    def figures(self) -> str:
        """Return one line: loss, mean, time a step, steps a second, time left, free memory."""
        step = self.step
        if not step and self.names:
            return "the run was over before the monitor: make monitor NEW=1 records another"
        if not step:
            return "waiting for the first step"
        text = f"loss {step.loss:.4f}  mean {step.mean:.4f}  {step.ms:.1f} ms/step"
        if step.ms:
            text += f"  {1000 / step.ms:.1f} steps/s"
        if self.seconds_left is not None:
            text += f"  {timedelta(seconds=round(self.seconds_left))} left"
        return text + f"  {step.free // 1024} KB free"

    def tell_progress(self) -> None:
        """Print the progress on stderr, PLAIN_LINES times in a run."""
        if not (self.start and self.step) or self.seconds_left is None:
            return
        part = (self.step.step + 1) * PLAIN_LINES // self.total
        if part != self._told:
            self._told = part
            done = f"{self.step.step + 1:,} of {self.total:,} steps"
            left = timedelta(seconds=round(self.seconds_left))
            print(f"{done}, {left} left", file=sys.stderr, flush=True)

    def progress(self) -> Progress:
        """Return a bar of the steps done."""
        bar = Progress(TextColumn("step"), BarColumn(CURVE_WIDTH - 12), MofNCompleteColumn())
        bar.add_task("", total=self.total or None, completed=self.step.step + 1 if self.step else 0)
        return bar

    def __rich__(self) -> Group:
        parts: list[RenderableType] = []
        if self.start:
            parts.append(
                f"{self.start.board}, {self.start.kernels} kernels ({self.start.reason}), "
                f"seed {self.start.seed}, {self.start.parameters:,} parameters, "
                f"{self.start.data:,} documents"
                + "".join(f", {name} {n}" for name, n in self.start.sizes().items())
            )
        parts.append(self.progress())
        parts.append(self.figures())
        if self.means:
            parts.append(Panel(curve(self.means), title="mean loss", expand=False))
        if self.names:
            parts.append(names_shown(list(self.names)))
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self.lines]
        if self.status:
            parts.append(Text(self.status, style="bold yellow"))
        return Group(*parts)


def names_shown(names: list[str]) -> Text:
    """Return the latest names in a row; half as many, a line each, if they are longer than words.

    The view has to stay within a window.
    """
    if all(len(name) <= LONGEST_IN_A_ROW and " " not in name for name in names):
        return Text(", ".join(names), style="bold green")
    lines = "\n".join(names[-NAMES_SHOWN // 2 :])
    return Text(lines, style="bold green", no_wrap=True, overflow="ellipsis")


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

    Says on stderr where the record is.
    """
    console = Console(highlight=False)
    live = console.is_terminal
    try:
        with Live(watch, console=console, refresh_per_second=8) if live else nullcontext():
            for line in lines:
                event = log.parse(line)
                watch.take(line, event)
                if event:
                    recorder.take(event)  # first: what is shown is on disk already
                if not live:
                    print(printable(log.legible(line)), flush=True)
                    if isinstance(event, log.Step):
                        watch.tell_progress()
    finally:
        said = recorder.finish()
        if said:
            print(said, file=sys.stderr)


def watch_port(
    named: str | None,
    runs: Path = RUNS,
    tensorboard: Path | None = None,
    reset: str | None = None,
    new: bool = False,
) -> None:
    """Show and record what a board sends until Ctrl-C; the port as `ports.find_port` finds it.

    `reset` is the port of a board that has just been reset, and may be gone for a moment. `new`:
    the board forgets its run, and begins one once the port is open. Raises ToolError.
    """
    watch = Watch()

    def tell(status: str) -> None:
        watch.status = status
        if status and not sys.stdout.isatty():
            print(status, file=sys.stderr)

    port = reset or ports.find_serial_port(named, "monitor")
    if new:
        ports.check_port(port)
        Remote(port).run(FORGET)  # which leaves it at the prompt
    recorder = Recorder(port, runs, tensorboard)
    first = SOFT_RESET if new else b""
    lines = read_lines(lambda: ports.find_port(named), tell, BACK_S if reset else 0, first)
    print(f"{port}: Ctrl-C leaves the monitor, the board goes on", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        show(lines, watch, recorder)


runs_option = click.option(
    "--runs", type=PATH, default=RUNS, show_default=True, help="Folder to record runs in."
)


@click.command("monitor")
@port_option
@click.option("--new", is_flag=True, help="Remove the board's checkpoints; record from step 0.")
@runs_option
@tensorboard_option
def monitor_command(port: str | None, new: bool, runs: Path, tensorboard: Path | None) -> None:
    """Watch and record the runs of a board.

    Ctrl-C leaves the monitor; the board goes on. In a pipe it prints the board's lines as they
    are, and the progress on stderr.

    \b
    Examples: microgpt-board monitor --new
              microgpt-board monitor --port socket://127.0.0.1:5555
    """
    watch_port(port, runs, tensorboard, new=new)
