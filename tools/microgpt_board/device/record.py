"""Record the runs in a board's log, each in its own folder below runs/."""

import dataclasses
import math
from pathlib import Path

from microgpt.runs import log as run_log
from microgpt.runs.folder import RUNS, RunFolder, default_folder, draw_loss
from microgpt.runs.tensorboard import make_folder

from microgpt_board.device import log


class Recorder:
    """Writes events into run folders, as `microgpt.runs` has them; `port` is where they come from.

    `tensorboard`: a folder for what TensorBoard reads, if it is wanted; it is created.

    A run begins with the board's first remark, or wherever it is joined, and ends with the next
    run or with `finish`. Every record is written before the next event is taken.
    """

    def __init__(self, port: str, root: Path = RUNS, tensorboard: Path | None = None) -> None:
        """Raise UserError or OSError if there is no folder `tensorboard` and none can be."""
        self.port = port
        self.root = root
        self._tensorboard = tensorboard
        if tensorboard:
            make_folder(tensorboard)
        self._run: RunFolder | None = None
        self._start: log.Start | None = None
        self._last = -1  # step

    def take(self, event: log.Event) -> None:
        """Record one event."""
        match event:
            case log.Start():
                self._begin(event)
            case log.Step():
                self._take_step(event)
            case log.Name(text) if self._run:
                if self._start is None or self._start.can_generate(event):
                    self._run.log(run_log.Name(text))
            case log.Remark(text) if self._run:
                self._run.log(run_log.Remark(text))

    def _take_step(self, event: log.Step) -> None:
        run = self._run
        if run is None or event.step <= self._last:  # joined half-way, or a remark was lost
            run = self._begin(None)
        self._last = event.step
        loss, mean = (value if math.isfinite(value) else None for value in (event.loss, event.mean))
        run.log(run_log.Step(event.step, loss, event.lr, mean, ms=event.ms, free=event.free))
        if self._start and event.step + 1 == self._start.steps:
            draw_loss(run.path)

    def finish(self) -> str:
        """End the run, if there is one; return a line about it, else ""."""
        if not self._run:
            return ""
        completed = self._start is not None and self._last + 1 == self._start.steps
        # The board may go on without being watched.
        folder, remark = self._run.path, self._run.close(completed or None)
        self._run = None
        return f"the run is in {folder}" + (f" ({remark})" if remark else "")

    def _begin(self, start: log.Start | None) -> RunFolder:
        self.finish()
        self._start = start
        self._last = -1
        content = {
            "board": start and start.board,
            "kernels": start and start.kernels,
            "firmware": start and start.version,
            "port": self.port,
            "seed": start and start.seed,
            "parameters": start and start.parameters,
            "model": dataclasses.asdict(start.model) if start else None,
            "train": {"steps": start and start.steps},
            "data": {
                "documents": start and start.data,
                "vocab_size": start and start.vocab_size,
            },
        }
        name = start.board if start else "joined"
        folder = default_folder(name, self.root)
        self._run = RunFolder(folder, content, numbered=True, tensorboard=self._tensorboard)
        return self._run
