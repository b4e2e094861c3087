"""The plan of a run: all settings that determine it, to be executed, recorded and repeated."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from microgpt import data
from microgpt.config import ModelConfig, TrainConfig, from_json
from microgpt.engines import AUTO, distributed
from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.model_io import FORMATS, weights_file
from microgpt.runs import info, log

Field = TypeVar("Field")

MOST_THREADS = 1024  # the system cannot start many more, and a library aborts if it fails
START = ("path", "sha256", "folder")  # the fields of info.Start


class PlanError(UserError):
    """A run cannot be executed or repeated as asked; the message says why."""


@dataclass(frozen=True)
class Plan:
    """The settings of a run: the file of its documents, its model, its training, its engine.

    `start`: the folder of the model to start from; `model` is then not used.
    `threads`: the threads of a step; results repeat to the last bit with 1.
    `chat`: `data` is a file of conversations. `strict`: a malformed line in it is an error.
    `assistant_only`: see `conversations.conversation_document`.
    `checkpoint_every`: the steps between two checkpoints.
    `validation_data`: a file like `data` for the validation loss, in place of train.validation.
    """

    data: Path
    model: ModelConfig
    train: TrainConfig
    engine: str = AUTO
    dtype: str = "float32"
    start: Path | None = None
    threads: int = 1
    chat: bool = False
    assistant_only: bool = False
    strict: bool = False
    checkpoint_every: int | None = None
    validation_data: Path | None = None

    def __post_init__(self) -> None:
        """Raise PlanError if settings contradict each other or are impossible."""
        if not 1 <= self.threads <= MOST_THREADS:
            raise PlanError(f"threads must be 1 to {MOST_THREADS:,}, not {self.threads:,}")
        if (self.assistant_only or self.strict) and not self.chat:
            raise PlanError("assistant-only and strict are for conversations: add --chat")
        if self.checkpoint_every is not None and self.checkpoint_every < 1:
            raise PlanError("checkpoint-every is a number of steps from 1 on")
        if self.validation_data and self.train.validation:
            raise PlanError("validation-data takes the place of validation: give one of them")

    def content(self, model: Model, documents: int, processes: int = 1) -> info.HostRun:
        """Return the plan as run.json has it, with the fingerprints of the files that it reads.

        `documents` is the number of the file's documents that are used.
        """
        held = self.validation_data
        start: info.Start | None = None
        if self.start:
            start = {**fingerprint(weights_file(self.start)), "folder": str(self.start)}
        return {
            "engine": model.engine,
            "dtype": model.dtype,
            "threads": self.threads,
            "chat": self.chat,
            "assistant_only": self.assistant_only,
            "strict": self.strict,
            "checkpoint_every": self.checkpoint_every,
            "processes": processes,
            "seed": self.train.seed,
            "parameters": model.parameter_count,
            "model": model.config,
            "train": self.train,
            "data": {**fingerprint(self.data), "documents": documents},
            "validation_data": fingerprint(held) if held else None,
            "from": start,
        }


def fingerprint(path: Path) -> info.Fingerprint:
    """Return the path of a file and the SHA-256 of its content; raise OSError."""
    return {"path": str(path), "sha256": data.sha256_of(path)}


def read_plan(folder: Path, documents: Path | None = None) -> Plan:
    """Return the plan of the run in `folder`, for as many steps as it has taken, to repeat it.

    `documents` is the path of its documents, if they have moved. Raises PlanError if it is not a
    host's run, or if its documents or the model that it starts from have changed since; ConfigError
    if it is of another number of processes; RunError if the folder cannot be read.
    """
    content = _host_run(folder, f"repeat it with microgpt-board replay {folder}")
    plan, start = _plan(folder, content, documents)
    distributed.check_number(
        log.whole(content.get("processes")) or 1, str(folder), f"train --repeat {folder}"
    )
    if start:
        weights = weights_file(Path(start["folder"]))
        _check_format(weights, start, folder)
        _check_unchanged(weights, start["sha256"], folder)
        plan = replace(plan, start=Path(start["folder"]))
    return plan


def resumed_plan(folder: Path) -> tuple[Plan, info.Start | None]:
    """Return the plan of the run in `folder`, to resume it, and the model that it started from.

    That model is not in the plan and may be gone: the checkpoint takes its place. Raises PlanError
    if it is not a host's run or if its documents have changed since, RunError if the folder cannot
    be read.
    """
    content = _host_run(folder, "the board goes on from its own checkpoint")
    return _plan(folder, content)


def _host_run(folder: Path, hint: str) -> log.JsonObject:
    """Return run.json of a host's run; raise PlanError, with `hint` if it is a board's."""
    about = info.read(folder)
    if about.engine is None:
        if "board" in about.content:
            raise PlanError(f"{folder} is a board's run: {hint}")
        raise PlanError(f"{folder / info.FILE} is not a run of microgpt train")
    return about.content


def _plan(
    folder: Path, content: log.JsonObject, documents: Path | None = None
) -> tuple[Plan, info.Start | None]:
    """Return the plan of a run.json, without the model that it starts from, and that model."""
    documents_then, start_then = info.part(content, "data"), info.part(content, "from")
    held_then = info.part(content, "validation_data")
    steps = len(log.read_steps(folder))
    start: info.Start | None = None
    try:
        train = {**info.part(content, "train"), "stop_after": max(1, steps)}
        plan = Plan(
            data=documents or Path(_field(documents_then, "path", str)),
            model=from_json(ModelConfig, content.get("model")),
            train=from_json(TrainConfig, train),
            engine=_field(content, "engine", str),
            dtype=_field(content, "dtype", str),
            threads=_field(content, "threads", int),
            chat=_field(content, "chat", bool),
            assistant_only=_field(content, "assistant_only", bool),
            strict=_field(content, "strict", bool),
            checkpoint_every=log.whole(content.get("checkpoint_every")),
            validation_data=Path(_field(held_then, "path", str)) if held_then else None,
        )
        read = {plan.data: _field(documents_then, "sha256", str)}
        if plan.validation_data:
            read[plan.validation_data] = _field(held_then, "sha256", str)
        if start_then:
            path, digest, model = (_field(start_then, name, str) for name in START)
            start = {"path": path, "sha256": digest, "folder": model}
    except UserError as error:
        raise PlanError(f"{folder / info.FILE} is not a run of microgpt train: {error}") from None
    for file, sha256 in read.items():
        _check_unchanged(file, sha256, folder)
    return plan, start


def _check_format(weights: Path, start: info.Start, run: Path) -> None:
    """Raise PlanError if the model that a run started from is in another format by now."""
    formats = {name: format for format, name in FORMATS.items()}
    then = formats.get(Path(start["path"]).name)
    if then and formats.get(weights.name, then) != then:
        raise PlanError(
            f"{weights} is in another format than in {run}: "
            f"microgpt export {start['folder']} --format {then}"
        )


def _check_unchanged(file: Path, sha256: str, run: Path) -> None:
    """Raise PlanError if a file cannot be read, or is not what it was in `run`."""
    if _sha256(file) != sha256:
        raise PlanError(f"{file} is not what it was in {run}: its SHA-256 differs")


def _field(content: log.JsonObject, name: str, kind: type[Field]) -> Field:
    """Return the value of a field; raise PlanError if it is missing or of another type."""
    value = content.get(name)
    if not isinstance(value, kind):
        raise PlanError(f"{name} must be of type {kind.__name__}, not {value!r}")
    return value


def _sha256(path: Path) -> str:
    try:
        return data.sha256_of(path)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # a NUL or half a character in the path
        raise PlanError(f"cannot read {str(path)!r}: {error}") from None
