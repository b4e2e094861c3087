"""A run's folder: run.json (what the run is), log.jsonl (a record a line), the model, loss.png."""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType

import numpy as np

from microgpt.plots.curves import SMOOTHED_OVER, Curve, draw_curves, smoothed
from microgpt.runs import info, log
from microgpt.runs.environment import environment
from microgpt.runs.tensorboard import Events
from microgpt.system import files

RUNS = Path("runs")
PICTURE = "loss.png"


class RunFolder:
    """The folder of a run that is being recorded; a context manager that closes the log.

    Each record is written at once, so that an interrupted run keeps its log.
    """

    def __init__(
        self,
        folder: Path,
        content: Mapping[str, object],
        numbered: bool = False,
        tensorboard: Path | None = None,
    ) -> None:
        """Create `folder` and write run.json; raise FileExistsError if there is such a folder.

        If `numbered`, the first of `folder`, `folder-2`, ... that does not exist is created.
        `content` is an info.HostRun or an info.BoardRun; schema, start and environment are added.
        Nothing stays if this fails. `tensorboard`: the folder for events of all runs, if there
        are to be events.
        """
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        whole = {
            "schema": info.SCHEMA,
            "started": started,
            **content,
            "environment": environment(),
        }
        written = json.dumps(whole, indent=2, default=dataclasses.asdict)
        if numbered:
            folder = files.new_folder(folder)
        else:
            folder.mkdir(parents=True)
        self.path = folder
        try:
            files.write(folder / info.FILE, written + "\n")
            # Without a buffer, which would fail once more when it is closed with the disk full.
            self._log = open(folder / log.FILE, "wb", buffering=0)  # noqa: SIM115 - see close
        except BaseException:
            shutil.rmtree(folder)
            raise
        self._events = Events(tensorboard, folder, json.loads(written)) if tensorboard else None

    def log(self, record: log.Line) -> None:
        """Append a record to the log; raise OSError."""
        content: log.JsonObject
        match record:
            case log.Step():
                content = record.as_json()
            case log.Name():
                content = {"name": record.text}
            case log.Remark():
                content = {"remark": record.text}
        rest = (json.dumps(content) + "\n").encode()
        with files.naming(self.path / log.FILE):
            while rest:  # a disk that is nearly full takes a part
                rest = rest[self._log.write(rest) :]
        if self._events:
            self._events.take(record)

    def add_samples(self, documents: Iterable[str]) -> None:
        """Add documents that the model generated to the events for TensorBoard, if there are any.

        A host's log does not have them, since its model generates them again.
        """
        if self._events:
            for text in documents:
                self._events.take(log.Name(text))

    def close(self, completed: bool | None = None) -> str | None:
        """Close the log and draw loss.png; return what could not be written of the rest, or None.

        `completed`: whether the run has reached its end, None if that is not known.
        Raises OSError if the log cannot be written to the disk.
        """
        events = self._events.close(completed) if self._events else None
        with self._log, files.naming(self.path / log.FILE):
            os.fsync(self._log.fileno())
        return "; ".join(filter(None, (draw_loss(self.path), events))) or None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._events:
            self._events.close(None)
        self._log.close()


def default_folder(name: str, root: Path = RUNS) -> Path:
    """Return a path under `root`, named by the time and `name`; there can be a folder already."""
    return root / f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"


def draw_loss(folder: Path) -> str | None:
    """Draw loss.png from log.jsonl; return the reason if it cannot be drawn, else None."""
    try:
        return draw_curves(folder / PICTURE, [read_curve(folder)])
    except OSError as error:  # the run is whole without it
        return f"no {PICTURE}: {files.explained(error)}"


def read_curve(folder: Path) -> Curve:
    """Return the loss curve of a host's run or a board's; raise RunError if it has no log."""
    return curve_of(folder.name, log.read_steps(folder))


def curve_of(name: str, records: Sequence[log.Step]) -> Curve:
    """Return the loss curve of logged steps that have a loss."""
    steps = np.array([record.step for record in records], dtype=float)
    losses = np.array([record.loss for record in records], dtype=float)
    # A board logs some steps only, each with the mean since the line before.
    means = [record.mean for record in records]
    every = max(1, int(np.median(np.diff(steps)))) if len(steps) > 1 else 1
    logged = losses if None in means else np.array(means, dtype=float)
    validation = [(r.step, r.validation) for r in records if r.validation is not None]
    lines = max(1, SMOOTHED_OVER // every)
    over = lines if None in means else lines * every
    return Curve(name, steps, losses, smoothed(logged, lines), validation, over)
