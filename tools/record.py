"""Record the runs that a board's log tells of, each in a folder of its own below runs/."""

import math
from dataclasses import asdict
from pathlib import Path

from microgpt.runs import RUNS, Run, draw_loss, new_folder

from tools import log


class Recorder:
    """Writes events into run folders, as `microgpt.runs` has them; `port` is where they come from.

    A run begins with the board's first remark, or wherever it is joined, and ends with the next
    run or with `finish`. Every record is on disk before the next event is taken.
    """

    def __init__(self, port: str, root: Path = RUNS) -> None:
        self.port = port
        self.root = root
        self._run: Run | None = None
        self._start: log.Start | None = None
        self._last = -1  # step

    def take(self, event: log.Event) -> None:
        """Write down one event."""
        if isinstance(event, log.Start):
            self._begin(event)
        elif isinstance(event, log.Step):
            if not self._run or event.step <= self._last:
                self._begin(None)  # joined half-way, or the first remark was lost
            self._last = event.step
            self._run.log({key: _finite(value) for key, value in asdict(event).items()})
            if self._start and event.step + 1 == self._start.steps:
                draw_loss(self._run.folder)
        elif self._run:
            self._run.log({"name" if isinstance(event, log.Name) else "remark": event.text})

    def finish(self) -> str:
        """End the run, if there is one; return what there is to say, "" if nothing."""
        if not self._run:
            return ""
        folder, remark = self._run.folder, self._run.close()
        self._run = None
        return f"the run is in {folder}" + (f" ({remark})" if remark else "")

    def _begin(self, start: log.Start | None) -> None:
        self.finish()
        self._start = start
        self._last = -1
        known = asdict(start) if start else {}
        about = {
            "board": known.get("board"),
            "kernels": known.get("kernels"),
            "seed": known.get("seed"),
            "configuration": {key: known.get(key) for key in ("steps", "parameters", "data")},
            "firmware": known.get("version"),
            "port": self.port,
        }
        self._run = Run(new_folder(start.board if start else "joined", self.root), about)


def _finite(value: float) -> float | None:
    """Return `value`, or None for what JSON has no number for."""
    return value if math.isfinite(value) else None
