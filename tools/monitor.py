"""Watch a run: progress, the falling loss, the time left, the names; in a pipe plain lines."""

import time
from collections.abc import Iterable
from contextlib import nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from tools import log

CURVE_HEIGHT = 8
CURVE_WIDTH = 60
NAMES_SHOWN = 20
BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN_LINES = 20  # in a pipe: about this many of a run's steps


class Watch:
    """What is known of a run from its log, and its drawing."""

    def __init__(self) -> None:
        self.start: log.Start | None = None
        self.step: log.Step | None = None
        self.means: list[float] = []
        self.names: list[str] = []
        self.errors = 0
        self._since: tuple[int, float] | None = None  # a step and the time it was logged

    def take(self, event: log.Event) -> None:
        """Take in the next event of the log."""
        if isinstance(event, log.Start):
            self.__init__()
            self.start = event
        elif isinstance(event, log.Step):
            self.step = event
            self.means.append(event.mean)
            self._since = self._since or (event.step, time.monotonic())
        elif isinstance(event, log.Name):
            self.names.append(event.text)
        elif event.text.startswith("error:"):
            self.errors += 1

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
        """One line: loss, mean, time a step, time left, free memory."""
        if not self.step:
            return "waiting for the first step"
        step = self.step
        text = f"loss {step.loss:.4f}  mean {step.mean:.4f}  {step.ms:.1f} ms a step"
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            text += f"  {minutes}:{seconds:02} left"
        return text + f"  {step.free:,} bytes free"

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
                f"{self.start.board}, {self.start.kernels} kernels, seed {self.start.seed}, "
                f"{self.start.parameters:,} parameters, {self.start.data:,} documents"
            )
        parts.append(self.progress())
        parts.append(self.figures())
        if self.means:
            parts.append(Panel(curve(self.means), title="mean loss", expand=False))
        if self.names:
            parts.append(Text(", ".join(self.names[-NAMES_SHOWN:]), style="bold green"))
        return Group(*parts)


def curve(values: list[float], width: int = CURVE_WIDTH, height: int = CURVE_HEIGHT) -> Text:
    """Draw `values` as columns of block characters, the axis from the lowest to the highest."""
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


def show(lines: Iterable[str]) -> int:
    """Show a board's log while it comes in; return how many errors the board reported."""
    console = Console(highlight=False)
    watch = Watch()
    live = console.is_terminal
    with Live(watch, console=console, refresh_per_second=8) if live else nullcontext():
        for line in lines:
            event = log.parse(line)
            if event is None:
                continue
            watch.take(event)
            if isinstance(event, log.Remark) or not live:
                _print_plain(console, watch, event)
    return watch.errors


def _print_plain(console: Console, watch: Watch, event: log.Event) -> None:
    if isinstance(event, log.Start):
        text = (
            f"{event.board}, {event.kernels} kernels, seed {event.seed}, {event.parameters:,} "
            f"parameters, {event.steps:,} steps, {event.data:,} documents"
        )
    elif isinstance(event, log.Step):
        steps = watch.start.steps if watch.start else 0
        every = max(1, steps // PLAIN_LINES)
        if event.step % every and event.step + 1 < steps:
            return
        text = f"step {event.step + 1}/{steps}  {watch.figures()}"
    else:
        text = event.text
    console.print(text, markup=False, soft_wrap=True)
