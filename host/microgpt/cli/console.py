"""The console of the commands, and the progress of a training on it.

Text that the program did not write itself is printed with `say`, `warn` and `give`: names of files
and folders, what a file holds, what a model generates.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from microgpt.plots.curves import SMOOTHED_OVER
from microgpt.system import files
from microgpt.system.terminal import as_output, printable
from microgpt.training import Record

PLAIN_LINES = 20  # about so many for a run, in a pipe

STDOUT = "standard output"


class _Console(Console):
    """A console whose reader may leave: Rich would end the program at once."""

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError that is being handled; a training saves its model first."""
        raise  # noqa: PLE0704 - Rich calls this where it has caught the error


console = _Console(highlight=False, soft_wrap=True, emoji=False)


def say(line: str) -> None:
    """Print a line, with control characters visible."""
    with files.naming(STDOUT):
        console.print(printable(line), markup=False)


def warn(line: str) -> None:
    """Print a line on stderr, with control characters visible."""
    click.echo(printable(line), err=True)


def give(text: str) -> None:
    """Print a document of a model: one line on a terminal, as it is in a file or a pipe."""
    with files.naming(STDOUT):
        print(as_output(text), flush=True)


def bar(text: str, on: Console = console, transient: bool = False) -> Progress:
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


def show_progress(records: Iterable[Record], steps: int, first: int = 0) -> Iterator[Record]:
    """Yield `records` and show the progress: losses, steps a second, and the time that is left.

    On a terminal it is a bar, in a pipe it is PLAIN_LINES lines. The run is of `steps` steps and
    continues at step `first`. The mean is over the last SMOOTHED_OVER losses, or all if they are
    fewer. Raises OSError if they cannot be shown.
    """
    last: deque[float] = deque(maxlen=SMOOTHED_OVER)
    started = time.monotonic()
    live = console.is_terminal
    with bar("{task.fields[figures]}  {task.fields[rate]:,.0f} steps/s") as progress:
        task = progress.add_task("", total=steps, figures="", rate=0.0)
        every = max(1, steps // PLAIN_LINES)
        shown = 0.0
        validation = ""
        for record in records:
            last.append(record.loss)
            if record.validation is not None:
                validation = f"  validation {record.validation:.4f}"
            done = record.step + 1
            now = time.monotonic()
            if live and (now - shown > 0.1 or done == steps) or not live and done % every == 0:
                shown = now
                figures = f"loss {record.loss:.4f}  mean {sum(last) / len(last):.4f}{validation}"
                rate = (done - first) / max(now - started, 1e-9)
                if live:
                    progress.update(task, completed=done, figures=figures, rate=rate)
                else:
                    left = round((steps - done) / rate)
                    say(
                        f"step {done}/{steps}  {figures}  {rate:,.0f} steps/s  "
                        f"{left // 60}:{left % 60:02} left"
                    )
            yield record
