"""Execute a plan: train, record the run in its folder, and save the model when it ends."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from microgpt.engines import distributed
from microgpt.engines.base import Model
from microgpt.runs import log
from microgpt.runs.folder import RunFolder
from microgpt.runs.plan import Plan
from microgpt.training import Record, TrainingError, train

if TYPE_CHECKING:
    from microgpt.engines.torch import TorchModel

# Takes the records, the number of steps and the first step; yields the records.
Watch = Callable[[Iterator[Record], int, int], Iterator[Record]]


@dataclass(frozen=True)
class Resumed:
    """A run to continue: its folder, the model with its optimizer's state, the next step."""

    run: Path
    model: "TorchModel"
    step: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `remark` is the reason why loss.png was not drawn, None if it was."""

    interrupted: bool
    remark: str | None


def execute(
    plan: Plan,
    folder: Path,
    report: Callable[[str], None],
    watch: Watch,
    resumed: Resumed | None = None,
) -> Outcome | None:
    """Train as `plan` says and record the run in `folder`; `watch` can show the records.

    The model is saved when the run ends, also after Ctrl-C. After a loss that is not finite its
    weights are useless: the model of the last checkpoint is saved instead, if there is one. Of
    processes that train together only that of rank 0 records; the others return None.

    Raises TrainingError, which names the folder, if training cannot continue.
    """
    processes = distributed.join() if plan.engine == "torch" else distributed.Processes()
    if not is_first_process():
        report = _ignore
    first = resumed.step if resumed else 0
    model, docs = plan.prepare(report, resumed.model if resumed else None)
    content = plan.content(model, docs, processes.world)
    earlier: list[log.Step] = []  # the steps before `first`, of the run that is resumed
    if resumed:
        content["resumed"] = {"run": str(resumed.run), "step": first}
        earlier = log.read_steps(resumed.run)[:first]
    records = train(model, docs, plan.train, first, processes.world)
    with threadpool_limits(plan.threads):
        if processes.rank > 0:
            with suppress(TrainingError):  # rank 0 raises the same error, and reports it
                deque(records, maxlen=0)
            return None
        with RunFolder(folder, content) as run:
            for step in earlier:
                run.log(step)
            return _Execution(plan, model, run).run(watch(records, plan.train.end, first), first)


def is_first_process() -> bool:
    """Return whether this process, of those that train together, records and reports."""
    return distributed.started_with().rank == 0


def _ignore(_: str) -> None:
    """Report nothing: the process of rank 0 does."""


class _Execution:
    """The execution of a run, from its first step to the saved model."""

    def __init__(self, plan: Plan, model: Model, run: RunFolder) -> None:
        self._plan, self._model, self._run = plan, model, run
        self._saved = 0  # the number of steps before the last checkpoint

    def run(self, records: Iterator[Record], first: int) -> Outcome:
        """Record every step; at the end save the model and draw loss.png."""
        done = first
        interrupted = False
        error: TrainingError | MemoryError | None = None
        try:
            for record in records:
                step = log.Step(record.step, record.loss, record.lr, validation=record.validation)
                self._run.log(step)
                done = record.step + 1
                self._checkpoint(done)
        except KeyboardInterrupt:
            interrupted = True
        except (TrainingError, MemoryError) as ended:
            error = ended
        if not isinstance(error, TrainingError) or self._restore(done):
            self._model.save(self._run.path / "model")
        remark = self._run.close()
        if error:
            raise TrainingError(f"{error}; the run so far is in {self._run.path}")
        return Outcome(interrupted, remark)

    def _checkpoint(self, done: int) -> None:
        """Save a checkpoint if one is due after `done` steps."""
        every = self._plan.checkpoint_every
        if every and done % every == 0:
            from microgpt.engines.torch import TorchModel
            from microgpt.runs import checkpoint

            assert isinstance(self._model, TorchModel)  # Plan allows no other with checkpoints
            checkpoint.save(self._run.path, self._model, self._plan.train, done)
            self._saved = done

    def _restore(self, done: int) -> bool:
        """Restore the weights of the last checkpoint; return False if they may be bad too.

        The loss of a step is measured before its update. So a finite loss in the step after the
        checkpoint shows that the checkpoint's weights are good.
        """
        if not 0 < self._saved < done:
            return False
        from microgpt.engines.torch import TorchModel
        from microgpt.runs import checkpoint

        assert isinstance(self._model, TorchModel)
        checkpoint.restore(self._run.path, self._model)
        return True
