"""The console of the commands, and the progress of a training on it.

Text that the program did not write itself is printed with `say`, `warn` and `give`: names of files
and folders, what a file holds, what a model generates.
"""

from collections.abc import Iterable, Iterator

import click
from rich.console import Console

from microgpt.display import on_console
from microgpt.system import files
from microgpt.system.terminal import as_output, printable
from microgpt.training import Record

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


def show_progress(records: Iterable[Record], steps: int, first: int = 0) -> Iterator[Record]:
    """Yield `records` and show the progress, as `display.progress` does outside of notebooks."""
    return on_console(records, steps, first, console, say)
