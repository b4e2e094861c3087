"""Ablations and sweeps: the same training with one thing changed, and what the change does.

A sweep is a list of trainings, each of which fixes its result. They run on all cores or on a Dask
cluster, through the same `concurrent.futures` interface; each result is a file of its own as soon
as it is there, so that an interrupted sweep goes on where it stopped.
"""

import csv
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from microgpt.config import ModelConfig, TrainConfig, field_names
from microgpt.data import charset_of
from microgpt.engines import create
from microgpt.errors import UserError
from microgpt.runs.environment import commit, environment
from microgpt.training import TrainingError, train

ABLATION: dict[str, list] = {"tie_lm_head": [False, True], "input_rmsnorm": [True, False]}
CERTAINTY = 0.95
MEASURES = ("final_loss", "mean_loss", "validation_loss", "steps_per_s", "tokens_per_s")


class SweepError(UserError):
    """A sweep cannot be done, or ended early; the message says why and what is done."""


@dataclass(frozen=True)
class Training:
    """One training of a sweep. `variant` says what is special about it."""

    variant: str
    model: ModelConfig
    train: TrainConfig
    engine: str = "tensor"
    dtype: str = "float32"

    def key(self, data_sha256: str) -> str:
        """Return what stands for all that fixes the result, the code included."""
        content = dataclasses.asdict(self) | {"data": data_sha256, "commit": commit()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def trainings(
    model: ModelConfig,
    config: TrainConfig,
    vary: Mapping[str, Sequence],
    seeds: int,
    engine: str = "tensor",
    dtype: str = "float32",
) -> list[Training]:
    """Return a training for each combination of the values in `vary`, and each seed.

    `vary` is {field of ModelConfig or TrainConfig: values}; the first combination comes first.
    """
    model_fields = field_names(ModelConfig)
    result = []
    for values in itertools.product(*vary.values()):
        changed = dict(zip(vary, values, strict=True))
        name = " ".join(f"{field}={_word(value)}" for field, value in changed.items())
        in_model = {field: changed.pop(field) for field in list(changed) if field in model_fields}
        varied = dataclasses.replace(model, **in_model)
        for seed in range(config.seed, config.seed + seeds):
            seeded = dataclasses.replace(config, **changed, seed=seed)
            result.append(Training(name, varied, seeded, engine, dtype))
    return result


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def carry_out(training: Training, docs: Sequence[str], last: int) -> dict[str, Any]:
    """Return what came of a training: the measures, every loss, and where it was computed.

    `mean_loss` is over the last `last` steps. Speeds leave out the first step and those after
    which validation documents were measured; a token is a position of a document, `docs` being
    typical of those in a step.
    """
    losses: list[float] = []
    held: dict[int, float] = {}
    seconds = 0.0
    timed = 0
    config = training.train
    with threadpool_limits(1), np.errstate(all="ignore"):  # what overflows ends in TrainingError
        model = create(
            training.model, charset_of(docs), config.seed, training.engine, training.dtype
        )
        started = time.perf_counter()
        for record in train(model, docs, config):
            if record.validation is not None:
                held[record.step] = record.validation
            elif losses:
                seconds += time.perf_counter() - started
                timed += 1
            losses.append(record.loss)
            started = time.perf_counter()
    steps_per_s = timed / seconds if timed else None
    positions = statistics.fmean(min(training.model.block_size, len(doc) + 1) for doc in docs)
    tail = losses[-last:]
    machine = {name: value for name, value in environment().items() if name != "command"}
    return {
        **dataclasses.asdict(training),
        "parameters": model.parameter_count,
        "final_loss": losses[-1],
        "mean_loss": sum(tail) / len(tail),
        "validation_loss": held[max(held)] if held else None,
        "steps_per_s": steps_per_s,
        "tokens_per_s": steps_per_s and steps_per_s * config.batch * positions,
        "losses": losses,
        "validation_losses": held,
        "environment": machine,
    }


@contextmanager
def executor(workers: int, scheduler: str | None = None) -> Iterator[Executor]:
    """Yield what runs trainings: `workers` processes, or the Dask cluster at `scheduler`."""
    if scheduler is None:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, context, _end_at_ctrl_c)
        try:
            yield pool
        except BaseException:
            # Not future.cancel: the pool's own thread may be at the same futures.
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()
        return
    try:
        from distributed import Client
    except ImportError:
        raise SweepError("--scheduler needs Dask: .venv/bin/pip install -e '.[cluster]'") from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise SweepError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client, client.get_executor() as cluster:
        try:
            yield cluster
        except BaseException:
            cluster.shutdown(wait=False)  # which also cancels
            raise


def _end_at_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def sweep(
    jobs: Sequence[Training],
    docs: Sequence[str],
    data_sha256: str,
    folder: Path,
    run_on: Executor,
    last: int = 100,
    progress: Callable[[int, str], None] = lambda done, variant: None,
) -> list[dict[str, Any]]:
    """Return the results of `jobs`, in their order; those in `folder` already are not run again.

    `progress` gets the number of trainings done and the variant of the latest. Raises SweepError
    if a worker process dies; a Dask cluster gives its work to another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {job: folder / f"{job.key(data_sha256)}-{last}.json" for job in jobs}
    waiting = [job for job, file in files.items() if not file.exists()]
    done = len(jobs) - len(waiting)
    progress(done, "")
    futures = {run_on.submit(carry_out, job, docs, last): job for job in waiting}
    try:
        for future in as_completed(futures):
            job = futures[future]
            write(files[job], json.dumps(future.result()))
            done += 1
            progress(done, f"{job.variant} seed={job.train.seed}")
    except TrainingError as error:
        raise SweepError(f"{job.variant} seed={job.train.seed}: {error}") from None
    except BrokenProcessPool:
        raise SweepError(
            f"a worker process died after {done} of {len(jobs)} trainings: "
            "the same command goes on from there"
        ) from None
    return [json.loads(files[job].read_text()) for job in jobs]


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(path.name + f".{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def summary(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a variant: parameters, seeds, and mean and standard deviation of MEASURES."""
    rows = []
    for variant, group in by_variant(results).items():
        row: dict[str, Any] = {"variant": variant, "parameters": group[0]["parameters"]}
        row["seeds"] = len(group)
        for measure in MEASURES:
            values = [result[measure] for result in group]
            measured = None not in values
            row[measure] = statistics.fmean(values) if measured else None
            spread = measured and len(values) > 1
            row[measure + "_sd"] = statistics.stdev(values) if spread else None
        rows.append(row)
    return rows


def by_variant(results: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return {variant: its results}, in the order of the first of each."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(result["variant"], []).append(result)
    return groups


def differences(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each pair of variants, the difference in loss and whether it is no noise.

    The loss is that of validation documents, or the mean loss if there are none. Variants share
    seeds, so the test is paired: Student's t, at CERTAINTY over all pairs together (Bonferroni).
    Returns [] for a single seed, which says nothing about noise.
    """
    from scipy.stats import ttest_rel

    groups = by_variant(results)
    pairs = list(itertools.combinations(groups, 2))
    rows = []
    for a, b in pairs:
        measure = "mean_loss" if groups[a][0]["validation_loss"] is None else "validation_loss"
        losses = [[result[measure] for result in groups[name]] for name in (a, b)]
        if len(losses[0]) < 2:
            return []
        same = losses[0] == losses[1]
        p = 1.0 if same else min(1.0, float(ttest_rel(*losses).pvalue) * len(pairs))
        rows.append(
            {
                "a": a,
                "b": b,
                "measure": measure,
                "difference": statistics.fmean(losses[1]) - statistics.fmean(losses[0]),
                "p": p,
                "larger_than_noise": p < 1 - CERTAINTY,
            }
        )
    return rows


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return a row of `summary` as a reader wants it: variant, losses, speeds, parameters."""
    result = [row["variant"]]
    for measure in MEASURES:
        value, sd = row[measure], row[measure + "_sd"]
        places = 4 if measure.endswith("loss") else 0
        text = "-" if value is None else f"{value:,.{places}f}"
        result.append(text if sd is None else f"{text} ± {sd:,.{places}f}")
    return [*result, f"{row['parameters']:,}"]


def headings(last: int) -> list[str]:
    """Return the headings of `cells`."""
    losses = ["final loss", f"mean of the last {last}", "validation loss"]
    return ["variant", *losses, "steps/s", "tokens/s", "parameters"]


def remarks(pairs: Sequence[Mapping[str, Any]], seeds: int) -> list[str]:
    """Return in words which differences are larger than the noise."""
    if seeds < 2:
        return ["One seed says nothing about noise: --seeds 5 does."]
    what = {"validation_loss": "validation loss", "mean_loss": "mean loss"}
    lines = [
        f"{pair['b']} against {pair['a']}: {what[pair['measure']]} {pair['difference']:+.4f} "
        f"(p = {pair['p']:.2g})"
        for pair in pairs
        if pair["larger_than_noise"]
    ]
    head = (
        f"{len(lines)} of {len(pairs)} differences are larger than the noise of {seeds} seeds "
        f"({CERTAINTY:.0%} over all of them, paired t-test)"
    )
    return [head + (":" if lines else "."), *lines]


def write_comparison(
    folder: Path, results: Sequence[dict[str, Any]], settings: Mapping[str, Any], last: int
) -> list[str]:
    """Write comparison.json, .csv, .md and .png to `folder`; return the remarks on noise."""
    from microgpt.plots.sweep import draw_sweep

    rows = summary(results)
    pairs = differences(results)
    said = remarks(pairs, rows[0]["seeds"])
    content = {
        "settings": settings,
        "environment": environment(),
        "variants": rows,
        "differences": pairs,
    }
    write(folder / "comparison.json", json.dumps(content, indent=2) + "\n")
    with open(folder / "comparison.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    head = headings(last)
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *map(cells, rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    text += "\n" + said[0] + "\n" + "".join(f"\n- {line}" for line in said[1:])
    write(folder / "comparison.md", text.rstrip() + "\n")
    draw_sweep(folder / "comparison.png", by_variant(results))
    return said
