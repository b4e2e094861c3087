"""What the commands share: the console, the options of a model, progress."""

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from microgpt import runs
from microgpt.config import ModelConfig
from microgpt.training import Record

PATH = click.Path(path_type=Path)  # unlike Path itself, it completes file names
PLAIN_LINES = 20  # in a pipe: about this many of a run's steps

console = Console(highlight=False, soft_wrap=True)


def model_options(command: Callable) -> Callable:
    """The sizes and switches of a new model, as options."""
    for field in reversed(dataclasses.fields(ModelConfig)):
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            name += "/--no-" + field.name.replace("_", "-")
        option = click.option(name, field.name, default=field.default, show_default=True)
        command = option(command)
    return command


def show_progress(records: Iterable[Record], steps: int, first: int = 0) -> Iterator[Record]:
    """Pass `records` on; show loss, mean of the last 100, held-out loss, speed and time left."""
    last: deque[float] = deque(maxlen=runs.SMOOTHED_OVER)
    started = time.monotonic()
    live = console.is_terminal
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  mean {task.fields[mean]:.4f}{task.fields[held]}"),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not live) as progress:
        task = progress.add_task("", total=steps, loss=0.0, mean=0.0, held="", rate=0.0)
        every = max(1, steps // PLAIN_LINES)
        shown = 0.0
        held = ""
        for record in records:
            last.append(record.loss)
            if record.holdout is not None:
                held = f"  held out {record.holdout:.4f}"
            done = record.step + 1
            now = time.monotonic()
            if live and (now - shown > 0.1 or done == steps) or not live and done % every == 0:
                shown = now
                mean = sum(last) / len(last)
                rate = (done - first) / max(now - started, 1e-9)
                if live:
                    fields = {"loss": record.loss, "mean": mean, "held": held, "rate": rate}
                    progress.update(task, completed=done, **fields)
                else:
                    left = round((steps - done) / rate)
                    console.print(
                        f"step {done}/{steps}  loss {record.loss:.4f}  mean {mean:.4f}{held}  "
                        f"{rate:,.0f} steps/s  {left // 60}:{left % 60:02} left"
                    )
            yield record
