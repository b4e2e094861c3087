"""Run the trainings of a comparison, in processes of this computer or on a Dask cluster.

Both have the interface of `concurrent.futures`. The result of a training is written to a file of
its own as soon as it is there, so that a sweep that was interrupted continues with the rest.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from microgpt.errors import UserError
from microgpt.lab.ablation import Result, Training, run_training
from microgpt.runs.environment import computation
from microgpt.system import files, signals
from microgpt.training import TrainingError

CONNECT_S = 10.0  # how long to wait for a Dask scheduler


class SweepError(UserError):
    """A sweep cannot start, or has ended early; the message says why."""


@contextmanager
def executor(workers: int, scheduler: str | None = None) -> Iterator[Executor]:
    """Yield an executor: `workers` processes, or the Dask cluster of the scheduler at an address.

    When the block raises, trainings that have not started are cancelled. Raises SweepError if Dask
    is not installed or no scheduler answers.
    """
    with _cluster(scheduler) if scheduler else _processes(workers) as pool:
        yield pool


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, signals.end_silently)
    try:
        with signals.blocked():
            for _ in range(workers):  # so that all of them start now, and not when they have work
                pool.submit(_begin)
        yield pool
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # the signal may be for this process alone
            for process in multiprocessing.active_children():
                process.terminate()
        # Not future.cancel: the pool's own thread works on the same futures.
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _begin() -> None:
    """Do nothing, in a process that imports this module for it."""


@contextmanager
def _cluster(scheduler: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise SweepError("--scheduler needs Dask: .venv/bin/pip install -e '.[cluster]'") from None
    try:
        client = Client(scheduler, timeout=CONNECT_S)  # type: ignore[no-untyped-call] # no annotations
    except (OSError, ValueError) as error:
        raise SweepError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client, client.get_executor() as pool:  # type: ignore[no-untyped-call] # no annotations
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False)  # cancels as well
            raise


def sweep(
    jobs: Sequence[Training],
    docs: list[str],
    data_sha256: str,
    folder: Path,
    run_on: Executor,
    last: int = 100,
    progress: Callable[[int, str], None] = lambda done, training: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Return the results of `jobs`, in their order; a result that is in `folder` is read there.

    `docs` are the documents, lines of text; `data_sha256` is the hash of their file. `progress` is
    called with the number of trainings that are done and the name of the latest one, `meanwhile`
    once, when the workers have begun.

    Raises SweepError if there are too few documents, if a file in `folder` is not a result, if
    workers do not compute alike, or if a worker process dies; a Dask cluster then gives the work
    to another worker.
    """
    done = 0
    try:
        # A worker says what it computes with: one of a cluster need not be like this process.
        engines = {job.engine for job in jobs}
        with signals.blocked():  # each submission may start a worker, here and below
            asked = {engine: run_on.submit(computation, engine) for engine in engines}
        computed_with = {engine: future.result() for engine, future in asked.items()}
        keys = {job: job.key(data_sha256, computed_with[job.engine]) for job in jobs}
        paths = {job: folder / f"{key}-{last}.json" for job, key in keys.items()}
        waiting = [job for job, path in paths.items() if not path.exists()]
        done = len(jobs) - len(waiting)
        progress(done, "")
        text = "\n".join(docs)  # one string is handed to another process much faster than many
        with signals.blocked():
            futures = {run_on.submit(run_training, job, text, last): job for job in waiting}
        meanwhile()
        for future in as_completed(futures):
            job = futures[future]
            result = future.result()
            _check(result["computation"], computed_with[job.engine])
            files.write(paths[job], json.dumps(result, allow_nan=False))
            done += 1
            step = result["diverged"]
            progress(done, _name(job) + ("" if step is None else f" diverged at step {step}"))
    except TrainingError as error:
        raise SweepError(f"{_name(job)}: {error}") from None
    except BrokenProcessPool:
        raise SweepError(
            f"a worker process died after {done} of {len(jobs)} trainings: "
            "the same command continues from there"
        ) from None
    return [{**read_result(paths[job]), "variant": job.variant} for job in jobs]


def _check(found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise SweepError if a worker does not compute with what the first one does."""
    for name, value in expected.items():
        if found[name] != value:
            raise SweepError(
                f"workers differ in {name}, {value} and {found[name]}: install the same for all; "
                "finished trainings are kept"
            )


def _name(job: Training) -> str:
    return f"{job.variant} seed={job.train.seed}"


def read_result(path: Path) -> Result:
    """Return the result of a training in a file; raise SweepError if it is none."""
    try:
        result: Result = json.loads(path.read_bytes())
        whole = Result.__required_keys__ <= result.keys()
    except (ValueError, AttributeError):
        whole = False
    if not whole:
        raise SweepError(f"{path} is not the result of a training: remove it")
    return result
