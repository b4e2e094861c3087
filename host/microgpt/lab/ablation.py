"""Ablations: the trainings to compare, and one of them done.

A comparison trains several variants of a model with the same seeds. A `Training` has all the
settings that fix its result, so that its result can be kept in a file and used again.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.filesize import decimal
from threadpoolctl import threadpool_limits

from microgpt import engines, memory
from microgpt.config import ModelConfig, TrainConfig, field_names
from microgpt.data import charset_of
from microgpt.engines import AUTO, create, resolve
from microgpt.errors import ConfigError
from microgpt.memory import Work
from microgpt.plots.sweep import Losses
from microgpt.runs.environment import Computation, computation, processor
from microgpt.training import Parts, TrainingError, split, train, work_of

Setting = bool | int | float | str
Vary = Mapping[str, Sequence[Setting]]  # {field of ModelConfig or TrainConfig: its values}

ABLATION: Vary = {"tie_lm_head": [False, True], "input_rmsnorm": [True, False]}

Measure = Literal["final_loss", "mean_loss", "validation_loss", "steps_per_s", "tokens_per_s"]


@dataclass(frozen=True)
class Training:
    """One training of a comparison; `variant` names the values that were varied."""

    variant: str
    model: ModelConfig
    train: TrainConfig
    engine: str
    dtype: str = "float32"

    def key(self, data_sha256: str, computed_with: Computation) -> str:
        """Return a hash of all that fixes the result: settings, documents, what computes it."""
        content = dataclasses.asdict(self) | {"data": data_sha256, "computation": computed_with}
        del content["variant"]  # only a name
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class Result(Losses):
    """The result of a training as JSON, with the settings of its `Training`.

    `final_loss` is the loss of the last step, `mean_loss` the mean over the last steps. The
    validation loss and the speeds are None where they were not measured. All measures are None
    if the training diverged.
    """

    variant: str
    model: dict[str, Setting]
    train: dict[str, Setting | None]
    engine: str
    dtype: str
    parameters: int
    final_loss: float | None
    mean_loss: float | None
    validation_loss: float | None
    steps_per_s: float | None
    tokens_per_s: float | None
    computation: Computation
    processor: str


def trainings(
    model: ModelConfig,
    config: TrainConfig,
    vary: Vary,
    seeds: int,
    engine: str = AUTO,
    dtype: str = "float32",
) -> list[Training]:
    """Return a training for each combination of the values in `vary`, with each of the seeds.

    Combinations are in the order of `itertools.product`. There are `seeds` seeds, from that of
    `config` on. Raises ConfigError for a value that its field does not allow, and for a value that
    is there twice: its trainings would count as further seeds.
    """
    if "seed" in vary:
        raise ConfigError("seed cannot vary: the trainings of a variant differ in it")
    for field, values in vary.items():
        for number, value in enumerate(values):
            if value in values[:number]:
                raise ConfigError(f"{field} has the value {_as_text(value)} twice: give it once")
    model_fields = field_names(ModelConfig)
    result = []
    for values in itertools.product(*vary.values()):
        changed = dict(zip(vary, values, strict=True))
        variant = " ".join(f"{field}={_as_text(value)}" for field, value in changed.items())
        # Any: each value has the type of its field.
        in_model: dict[str, Any] = {f: v for f, v in changed.items() if f in model_fields}
        in_train: dict[str, Any] = {f: v for f, v in changed.items() if f not in model_fields}
        varied = dataclasses.replace(model, **in_model)
        for seed in range(config.seed, config.seed + seeds):
            seeded = dataclasses.replace(config, **in_train | {"seed": seed})
            named = resolve(engine, varied, dtype)
            result.append(Training(variant, varied, seeded, named, dtype))
    return result


def check_here(jobs: Sequence[Training], docs: list[str], workers: int) -> None:
    """Raise ConfigError if this machine lacks an engine, or the memory for the trainings.

    For each of them, and for `workers` of them at once; the message has the figures.
    """
    for engine, dtype in {(job.engine, job.dtype) for job in jobs}:
        engines.find(engine, dtype)
    vocab_size = len(charset_of(docs)) + 1
    there = memory.of_machine()
    most = [_work(job, vocab_size, []) for job in jobs]
    if there and max(map(memory.most_to_train, most)) * workers <= there:
        return  # whatever lengths the documents have, which it takes long to look at
    needs = []
    for job in jobs:
        work = _work(job, vocab_size, docs)
        engines.check_memory(work)
        needs.append(memory.to_train(work))
    need = sum(sorted(needs)[-workers:])
    if there is not None and need > there:
        raise ConfigError(
            f"{workers} trainings at once need {decimal(need)}, this machine has "
            f"{decimal(there)}: take fewer workers"
        )


def _work(job: Training, vocab_size: int, docs: list[str]) -> Work:
    return work_of(job.model, vocab_size, job.engine, job.dtype, docs, job.train)


def _as_text(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@functools.lru_cache(maxsize=2)
def _documents(text: str) -> tuple[list[str], str, NDArray[np.int64]]:
    """Return the documents in `text`, one a line, their characters, and how many each has.

    A process does several trainings with the same documents.
    """
    docs = text.split("\n")
    return docs, charset_of(docs), np.array(list(map(len, docs)))


@functools.lru_cache(maxsize=4)
def _parts(text: str, validation: float) -> Parts:
    return split(_documents(text)[0], validation)


def run_training(training: Training, text: str, last: int) -> Result:
    """Do one training on one thread and return its result; `mean_loss` is over `last` steps.

    `text` are the documents, one a line.
    It has diverged at the step at which `train` ends with a TrainingError, or the validation loss
    is not finite.
    The time of the first step, and of steps after which the validation loss was measured, does
    not count in the speeds. Tokens are the positions of documents of average length.

    Raises TrainingError if there are too few documents.
    """
    losses: list[float] = []
    validation: dict[int, float] = {}
    seconds = 0.0
    timed = 0
    diverged: int | None = None
    config = training.train
    computed_with = computation(training.engine)
    docs, charset, lengths = _documents(text)
    parts = _parts(text, config.validation)  # what it raises is no divergence
    with threadpool_limits(1), np.errstate(all="ignore"):  # an overflow ends in TrainingError
        model = create(training.model, charset, config.seed, training.engine, training.dtype)
        started = time.perf_counter()
        try:
            for record in train(model, docs, config, parts=parts):
                if record.validation is not None:
                    if not math.isfinite(record.validation):
                        raise TrainingError(f"the validation loss is {record.validation}")
                    validation[record.step] = record.validation
                elif losses:
                    seconds += time.perf_counter() - started
                    timed += 1
                losses.append(record.loss)
                started = time.perf_counter()
        except TrainingError:
            diverged = len(losses)
    whole = diverged is None
    steps_per_s = timed / seconds if timed and whole else None
    positions = float(np.minimum(lengths + 1, training.model.block_size).mean())
    tail = losses[-last:]
    return {
        "variant": training.variant,
        "model": dataclasses.asdict(training.model),
        "train": dataclasses.asdict(config),
        "engine": training.engine,
        "dtype": training.dtype,
        "parameters": model.parameter_count,
        "final_loss": losses[-1] if whole else None,
        "mean_loss": sum(tail) / len(tail) if whole else None,
        "validation_loss": validation[max(validation)] if validation and whole else None,
        "steps_per_s": steps_per_s,
        "tokens_per_s": steps_per_s and steps_per_s * config.batch * positions,
        "losses": losses,
        "validation_losses": {str(step): loss for step, loss in validation.items()},
        "diverged": diverged,
        "computation": computed_with,
        "processor": processor(),
    }
