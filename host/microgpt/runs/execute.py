"""Execute a plan: train, record the run in its folder, and save the model when it ends."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from microgpt.chat import learned
from microgpt.engines import distributed
from microgpt.engines.base import Model
from microgpt.runs import checkpoint, info, log
from microgpt.runs.folder import RunFolder, default_folder
from microgpt.runs.plan import Plan
from microgpt.runs.prepare import Prepared, prepare
from microgpt.runs.tensorboard import SAMPLES, make_folder
from microgpt.sampling import SamplingError, generate
from microgpt.system import files, signals
from microgpt.training import Record, TrainingError, train

# Takes the records, the number of steps and the first step; yields the records.
Watch = Callable[[Iterator[Record], int, int], Iterator[Record]]


@dataclass(frozen=True)
class Resumed:
    """A run to continue: its folder, the model with its optimizer's state, the next step.

    `start` is the model that the run started from, as its run.json has it.
    """

    run: Path
    model: Model
    step: int
    start: info.Start | None


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and its folder.

    `interruption` is what ended it early, `remark` says what is missing of loss.png and the events,
    `learned` which replies of a chat model are right, or None.
    """

    folder: Path
    interruption: KeyboardInterrupt | None
    remark: str | None
    learned: str | None


def execute(
    plan: Plan,
    folder: Path | None,
    report: Callable[[str], None],
    watch: Watch,
    resumed: Resumed | None = None,
    tensorboard: Path | None = None,
) -> Outcome | None:
    """Train as `plan` says and record the run in `folder`; `watch` can show the records.

    Without a `folder` it is a new one under runs/. With `tensorboard`, events are written below
    that folder, at the end with documents that the model generates. The model after the last step
    is saved when the run ends, also after Ctrl-C and the other signals of `system.signals`, and
    after an error. Of processes that train together only that of rank 0 records; the others return
    None.

    Raises TrainingError, which names the folder, if training cannot continue or a file cannot be
    written; BrokenPipeError if `watch` does.
    """
    processes = distributed.join(plan.engine)
    if processes.rank > 0:
        report = _ignore
    first = resumed.step if resumed else 0
    prepared = prepare(plan, report, resumed.model if resumed else None, processes.world)
    model = prepared.model
    content = plan.content(model, prepared.documents, processes.world)
    earlier: list[log.Step] = []  # the steps before `first`, of the run that is resumed
    if resumed:
        content["from"] = resumed.start
        content["resumed"] = {"run": str(resumed.run), "step": first}
        earlier = log.read_steps(resumed.run)[:first]
    model.threads = plan.threads
    records = train(model, prepared.docs, plan.train, first, processes.world, held=prepared.held)
    with threadpool_limits(plan.threads):
        if processes.rank > 0:
            with suppress(TrainingError):  # rank 0 raises the same error, and reports it
                deque(records, maxlen=0)
            return None
        path = folder or default_folder(model.engine)
        if tensorboard:
            make_folder(tensorboard)
        with RunFolder(path, content, folder is None, tensorboard) as run:
            for step in earlier:
                run.log(step)
            execution = _Execution(plan, prepared, run, processes.world, bool(tensorboard))
            return execution.run(watch(execution.recorded(records), plan.train.end, first))


def _ignore(_: str) -> None:
    """Report nothing: the process of rank 0 does."""


class _Execution:
    """The execution of a run, from its first step to the saved model."""

    def __init__(
        self, plan: Plan, prepared: Prepared, run: RunFolder, processes: int, samples: bool
    ) -> None:
        """`samples`: whether the model generates documents at the end, for the run's events."""
        self._plan, self._run, self._processes = plan, run, processes
        self._model, self._conversations = prepared.model, prepared.conversations
        self._samples = samples

    def run(self, records: Iterator[Record]) -> Outcome:
        """Take all `records`; at the end save the model and draw loss.png."""
        failures: list[Exception] = []
        replies = remark = None
        with signals.held() as held:
            try:
                with held.raised():
                    deque(records, maxlen=0)
            except KeyboardInterrupt as interruption:
                held.interruption = interruption
            except (TrainingError, MemoryError, OSError) as error:
                failures.append(error)
            where = f"the run so far is in {self._run.path}"
            try:
                self._model.save(self._run.path / "model")
                where += ", with its model"
            except OSError as error:
                failures.append(error)
            try:
                with held.raised():  # both can take long, and can be done again
                    if self._conversations and not (failures or held.interruption):
                        replies = learned.report(self._model, *self._conversations)
                        self._run.log(log.Remark(replies))
                    if self._samples:
                        self._add_samples()
            except KeyboardInterrupt as interruption:
                held.interruption = interruption
            except OSError as error:
                failures.append(error)
            try:
                remark = self._run.close(not (failures or held.interruption))
            except OSError as error:
                failures.append(error)
        if failures and all(isinstance(error, BrokenPipeError) for error in failures):
            raise failures[0]
        if failures:
            reasons = [files.explained(e) if isinstance(e, OSError) else str(e) for e in failures]
            raise TrainingError("; ".join([*reasons, where]))
        return Outcome(self._run.path, held.interruption, remark, replies)

    def _add_samples(self) -> None:
        """Add the documents to the events that `microgpt generate` gives for the run's seed."""
        with suppress(SamplingError):  # a model whose weights are not finite generates none
            seed = self._plan.train.seed
            self._run.add_samples(generate(self._model, SAMPLES, seed=seed))

    def recorded(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield `records`, each when it is in the log: what is shown is on the disk already."""
        for record in records:
            step = log.Step(record.step, record.loss, record.lr, validation=record.validation)
            self._run.log(step)
            self._checkpoint(record.step + 1)
            yield record

    def _checkpoint(self, done: int) -> None:
        """Save a checkpoint if one is due after `done` steps."""
        every = self._plan.checkpoint_every
        if every and done % every == 0:
            train, processes = self._plan.train, self._processes
            checkpoint.save(self._run.path, self._model, train, done, processes)
