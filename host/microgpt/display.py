"""Show the progress of a training: a bar in a notebook and on a terminal, lines in a pipe."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from microgpt.plots.curves import SMOOTHED_OVER
from microgpt.training import Record

PLAIN_LINES = 20  # about so many for a run, in a pipe
EVERY = 0.1  # seconds between two states of a bar


def progress(records: Iterable[Record], steps: int, first: int = 0) -> Iterator[Record]:
    """Yield `records`, those of a training of `steps` steps, and show the progress.

    Shown are the step, its loss, the mean of the last SMOOTHED_OVER losses (or of all, if they are
    fewer), the last validation loss, the steps a second and the time that is left. `first` is the
    first step, of a run that is continued.

    In Jupyter it is a bar, which stays in the notebook when it is saved; on a terminal it is a bar
    too, and elsewhere PLAIN_LINES lines on standard output.
    """
    if in_notebook():
        return _in_notebook(records, steps, first)
    return on_console(records, steps, first, Console(highlight=False, soft_wrap=True), print)


def on_console(
    records: Iterable[Record], steps: int, first: int, console: Console, say: Callable[[str], None]
) -> Iterator[Record]:
    """Do what `progress` does on a console; where that is no terminal, `say` prints the lines.

    Raises OSError if they cannot be shown.
    """
    if console.is_terminal:
        return _on_terminal(records, steps, first, console)
    return _in_lines(records, steps, first, say)


def bar(text: str, on: Console, transient: bool = False) -> Progress:
    """Return a progress bar: the count, `text` and the time left; it shows only on a terminal.

    On a narrow terminal the bar is short and the text wraps, so that the count is whole.
    """
    return Progress(
        BarColumn(min(40, on.width // 8)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn(text, table_column=Column()),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=on,
        transient=transient,
        disable=not on.is_terminal,
    )


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, and not IPython on a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


class _Figures:
    """How far a training of `steps` steps is, which begins or continues at step `first`."""

    def __init__(self, steps: int, first: int) -> None:
        self.steps = steps
        self.done = self._first = first
        self._losses: deque[float] = deque(maxlen=SMOOTHED_OVER)
        self._validation = ""
        self._started = time.monotonic()
        self._shown = 0.0

    def take(self, record: Record) -> None:
        """Take the record of the next step."""
        self._losses.append(record.loss)
        self.done = record.step + 1
        if record.validation is not None:
            self._validation = f"  validation {record.validation:.4f}"

    @property
    def losses(self) -> str:
        """The losses; a step has been taken."""
        mean = sum(self._losses) / len(self._losses)
        return f"loss {self._losses[-1]:.4f}  mean {mean:.4f}{self._validation}"

    @property
    def seconds(self) -> float:
        """The time since the start, more than 0."""
        return max(time.monotonic() - self._started, 1e-9)

    @property
    def rate(self) -> float:
        """Steps a second."""
        return (self.done - self._first) / self.seconds

    @property
    def left(self) -> str:
        """The time that is left; a step has been taken."""
        return _clock((self.steps - self.done) / self.rate)

    def due(self) -> bool:
        """Return whether a bar is to be drawn again: EVERY seconds, and after the last step."""
        now = time.monotonic()
        if now - self._shown <= EVERY and self.done != self.steps:
            return False
        self._shown = now
        return True

    def in_notebook(self) -> dict[str, str]:
        """Return what a notebook shows: {kind of content: content}."""
        count = f"{self.done:,} of {self.steps:,} steps"
        text = count
        if self._losses:
            losses = self.losses.replace("  ", ", ")
            text = f"{count} · {losses} · {self.rate:,.0f} steps/s"
        if self.done == self.steps:
            text += f" · {self.seconds:,.1f} s"
        elif self._losses:
            text += f" · {self.left} left"
        drawn = f'<progress value="{self.done}" max="{self.steps}" aria-label="{count}"></progress>'
        return {"text/html": f"{drawn} {text}", "text/plain": text}


def _clock(seconds: float) -> str:
    """Return a time as minutes and seconds: "1:05"."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


def _in_lines(
    records: Iterable[Record], steps: int, first: int, say: Callable[[str], None]
) -> Iterator[Record]:
    figures = _Figures(steps, first)
    every = max(1, steps // PLAIN_LINES)
    for record in records:
        figures.take(record)
        if figures.done % every == 0:
            say(
                f"step {figures.done}/{steps}  {figures.losses}  {figures.rate:,.0f} steps/s  "
                f"{figures.left} left"
            )
        yield record


def _on_terminal(
    records: Iterable[Record], steps: int, first: int, console: Console
) -> Iterator[Record]:
    figures = _Figures(steps, first)
    with bar("{task.fields[figures]}  {task.fields[rate]:,.0f} steps/s", console) as drawn:
        task = drawn.add_task("", total=steps, figures="", rate=0.0)
        for record in records:
            figures.take(record)
            if figures.due():
                drawn.update(
                    task, completed=figures.done, figures=figures.losses, rate=figures.rate
                )
            yield record


def _in_notebook(records: Iterable[Record], steps: int, first: int) -> Iterator[Record]:
    from IPython.display import display

    figures = _Figures(steps, first)
    drawn = display(figures.in_notebook(), raw=True, display_id=True)
    try:
        for record in records:
            figures.take(record)
            if figures.due():
                drawn.update(figures.in_notebook(), raw=True)
            yield record
    finally:  # also where the caller stops, or an error does
        drawn.update(figures.in_notebook(), raw=True)
