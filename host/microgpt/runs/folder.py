"""A run's folder: run.json (what it is), log.jsonl (a record a line), the model, loss.png."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType

import numpy as np

from microgpt import files
from microgpt.plots.curves import SMOOTHED_OVER, Curve, draw_curves, smoothed
from microgpt.runs import info, log
from microgpt.runs.environment import environment

RUNS = Path("runs")
PICTURE = "loss.png"


class RunFolder:
    """A run that is being recorded; a context manager that closes the log.

    Each record is written before the next one is taken, so that a run cut short keeps its log.
    """

    def __init__(self, folder: Path, content: Mapping[str, object]) -> None:
        """Make `folder`, which must not exist, and write run.json.

        `content` is what `runs.info` describes, less schema, start and environment.
        """
        self.path = folder
        folder.mkdir(parents=True)
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        whole = {"schema": info.SCHEMA, "started": started, **content}
        whole["environment"] = environment()
        files.write(folder / info.FILE, json.dumps(whole, indent=2) + "\n")
        self._log = open(folder / log.FILE, "w", buffering=1)  # noqa: SIM115 - closed in close

    def log(self, record: log.Record) -> None:
        """Append a record."""
        match record:
            case log.Step():
                content = record.as_json()
            case log.Name():
                content = {"name": record.text}
            case log.Remark():
                content = {"remark": record.text}
        self._log.write(json.dumps(content) + "\n")

    def close(self) -> str | None:
        """Close the log and draw loss.png; return a remark if it cannot be drawn."""
        self._log.flush()
        os.fsync(self._log.fileno())
        self._log.close()
        return draw_loss(self.path)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._log.close()


def new_folder(name: str, root: Path = RUNS) -> Path:
    """Return a path under `root` where nothing is yet, named by the time and `name`."""
    stem = f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"
    folder = root / stem
    count = 1
    while folder.exists():
        count += 1
        folder = root / f"{stem}-{count}"
    return folder


def draw_loss(folder: Path) -> str | None:
    """Draw loss.png from log.jsonl; return a remark if it cannot be drawn."""
    return draw_curves(folder / PICTURE, [read_curve(folder)])


def read_curve(folder: Path) -> Curve:
    """Return the loss of a run, a host's or a board's; raise RunError. See `Curve`."""
    records = log.read_steps(folder)
    steps = np.array([record.step for record in records], dtype=int)
    losses = np.array([record.loss for record in records], dtype=float)
    # A board writes a line every so many steps, with the mean since the line before.
    means = [record.mean for record in records]
    every = max(1, int(np.median(np.diff(steps)))) if len(steps) > 1 else 1
    logged = losses if None in means else np.array(means, dtype=float)
    validation = [(r.step, r.validation) for r in records if r.validation is not None]
    over = max(1, SMOOTHED_OVER // every)
    return Curve(folder.name, steps, losses, smoothed(logged, over), validation)
