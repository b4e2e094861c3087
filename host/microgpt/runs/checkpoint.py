"""Save and load a run as one safetensors file: all that the next step needs.

The file is a whole model, as `model_io` reads and writes it, with Adam's moments and `Facts`.
"""

import dataclasses
import reprlib
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

from microgpt.config import TrainConfig, from_json
from microgpt.engines import DTYPES, ENGINES, build, distributed
from microgpt.engines.base import STORED, Model
from microgpt.errors import UserError
from microgpt.model_io import CHECKPOINT as FILE
from microgpt.model_io import ModelFolderError, tensor_file
from microgpt.model_io.meta import JsonObject, Meta
from microgpt.runs.log import LARGEST_STEP, whole
from microgpt.system import files


class Facts(TypedDict):
    """What a checkpoint has besides a model and moments; `step` is the next step to take."""

    step: int
    processes: int
    engine: str
    dtype: str
    train: TrainConfig


class CheckpointError(UserError):
    """A file is not a checkpoint from which a run can continue."""


class Checkpoint(NamedTuple):
    """A run to continue: its model with the optimizer's state, its settings, its next step."""

    model: Model
    config: TrainConfig
    step: int


def save(folder: Path, model: Model, config: TrainConfig, step: int, processes: int = 1) -> None:
    """Replace the checkpoint in a run's folder by the state before `step`, atomically."""
    facts: JsonObject = {
        "step": step,
        "processes": processes,
        "engine": model.engine,
        "dtype": model.dtype,
        "train": dataclasses.asdict(config),
    }
    meta = Meta(model.config, model.tokenizer)
    content = tensor_file.content(meta, model.weights, model.moments, facts)
    # Not safetensors' save_file: where the disk is full it raises no OSError.
    files.write(folder / FILE, content)


def load(folder: Path) -> Checkpoint:
    """Return the run in the checkpoint of a run's folder.

    Raises CheckpointError if the file is missing, broken or something else, ConfigError if it was
    saved by another number of processes than there are now or its engine is not available here.
    """
    path = folder / FILE
    if not path.exists():
        raise CheckpointError(f"{folder} has no checkpoint: train with --checkpoint-every N")
    try:
        tensors = tensor_file.open_file(path)
        if tensors.meta is None or tensors.checkpoint is None:
            raise CheckpointError(f"{path} has no state of a training: it is not a checkpoint")
        meta, facts = tensors.meta, _facts(tensors.checkpoint, path)
        weights, m, v = tensors.state(meta, STORED[facts["dtype"]])
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except ModelFolderError as error:
        raise CheckpointError(str(error)) from None
    distributed.check_number(facts["processes"], str(path), f"resume {folder}")
    distributed.join(facts["engine"])
    model = build(meta.config, meta.tokenizer, weights, facts["engine"], facts["dtype"])
    model.restore_optimizer((m, v), facts["step"])
    return Checkpoint(model, facts["train"], facts["step"])


def _facts(content: JsonObject, path: Path) -> Facts:
    """Return the facts of a checkpoint; raise CheckpointError."""
    content = {"engine": "torch", **content}  # in version 0.1.0 no other had checkpoints
    step, processes = whole(content.get("step")), whole(content.get("processes"))
    engine, dtype = content["engine"], content.get("dtype")
    for name, is_good in {
        "step": step is not None and 0 <= step <= LARGEST_STEP,
        "processes": processes is not None and processes > 0,
        "engine": engine in ENGINES,
        "dtype": dtype in DTYPES,
    }.items():
        if not is_good:
            raise CheckpointError(
                f"{path}: the {name} of its run is {reprlib.repr(content.get(name))}"
            )
    try:
        train = from_json(TrainConfig, content.get("train"))
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return {
        "step": cast(int, step),
        "processes": cast(int, processes),
        "engine": cast(str, engine),
        "dtype": cast(str, dtype),
        "train": train,
    }
