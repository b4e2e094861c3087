"""Save and load a run as one safetensors file: all that the next step needs.

The file has tensors `weight.NAME`, `m.NAME` and `v.NAME` for each NAME of `ugpt.layout`, and
`Facts` as JSON in its metadata.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialized
from ugpt.layout import parameter_table

from microgpt.config import ModelConfig, TrainConfig, from_json
from microgpt.engines import DTYPES, ENGINES, build, distributed
from microgpt.engines.base import STORED, Model
from microgpt.errors import UserError
from microgpt.model_io import Matrices
from microgpt.runs.log import json_object, whole
from microgpt.system import files
from microgpt.tokenizer import Tokenizer

FILE = "checkpoint.safetensors"  # in a run's folder
METADATA = "microgpt"  # the key of the facts
PARTS = ("weight", "m", "v")
KINDS = {"float32": "F32", "float64": "F64"}  # safetensors' names


class Facts(TypedDict):
    """What a checkpoint has besides tensors; `step` is the next step to take."""

    step: int
    processes: int
    engine: str
    dtype: str
    model: ModelConfig
    train: TrainConfig
    tokenizer: tuple[str, int, tuple[str, ...]]  # charset, bos, special_tokens


class CheckpointError(UserError):
    """A file is not a checkpoint from which a run can continue."""


class Checkpoint(NamedTuple):
    """A run to continue: its model with the optimizer's state, its settings, its next step."""

    model: Model
    config: TrainConfig
    step: int


def save(folder: Path, model: Model, config: TrainConfig, step: int, processes: int = 1) -> None:
    """Replace the checkpoint in a run's folder by the state before `step`, atomically."""
    tensors = {
        # Safetensors writes the bytes as they are; in engine native a matrix can have gaps.
        f"{part}.{name}": np.ascontiguousarray(matrix)
        for part, matrices in zip(PARTS, (model.weights, *model.moments), strict=True)
        for name, matrix in matrices.items()
    }
    tokenizer = model.tokenizer
    facts: Facts = {
        "step": step,
        "processes": processes,
        "engine": model.engine,
        "dtype": model.dtype,
        "model": model.config,
        "train": config,
        "tokenizer": (tokenizer.charset, tokenizer.bos, tokenizer.special_tokens),
    }
    metadata = {METADATA: json.dumps(facts, default=dataclasses.asdict)}
    # Not save_file: where the disk is full it raises no OSError.
    files.write(folder / FILE, serialized(tensors, metadata))


def load(folder: Path) -> Checkpoint:
    """Return the run in the checkpoint of a run's folder.

    Raises CheckpointError if the file is missing, broken or something else, ConfigError if it was
    saved by another number of processes than there are now or its engine is not available here.
    """
    path = folder / FILE
    if not path.exists():
        raise CheckpointError(f"{folder} has no checkpoint: train with --checkpoint-every N")
    try:
        facts, weights, m, v = _read(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (SafetensorError, UserError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of microgpt: {error}") from None
    distributed.check_number(facts["processes"], str(path), f"resume {folder}")
    distributed.join(facts["engine"])
    tokenizer = Tokenizer(*facts["tokenizer"])
    model = build(facts["model"], tokenizer, weights, facts["engine"], facts["dtype"])
    model.restore_optimizer((m, v), facts["step"])
    return Checkpoint(model, facts["train"], facts["step"])


def _read(path: Path) -> tuple[Facts, Matrices, Matrices, Matrices]:
    """Return the content of a checkpoint: its facts, the weights, Adam's two moments.

    Raises CheckpointError with the reason, SafetensorError, OSError.
    """
    with safe_open(path, "np") as file:
        facts = _facts((file.metadata() or {}).get(METADATA, ""))
        vocab_size = Tokenizer(*facts["tokenizer"]).vocab_size
        names = set(file.keys())
        if facts["model"].n_layer > len(names):  # so that the table is not far too long
            raise CheckpointError("it has fewer tensors than layers")
        table = parameter_table(facts["model"].sizes(vocab_size))
        shapes = {f"{part}.{name}": shape for name, shape, _ in table for part in PARTS}
        if unexpected := names ^ set(shapes):
            raise CheckpointError(f"{min(unexpected)} is missing or unknown")
        kind = KINDS[STORED[facts["dtype"]]]
        for name, shape in shapes.items():
            tensor = file.get_slice(name)
            found = tensor.get_dtype(), tuple(tensor.get_shape())
            if found != (kind, shape):
                raise CheckpointError(f"{name} is {found[0]} {found[1]}, not {kind} {shape}")
        weights, m, v = (
            {name: file.get_tensor(f"{part}.{name}") for name, _, _ in table} for part in PARTS
        )
    return facts, weights, m, v


def _facts(text: str) -> Facts:
    """Return the facts in a checkpoint's metadata; raise UserError with what is wrong."""
    content = json_object(text)
    step, processes = whole(content.get("step")), whole(content.get("processes"))
    engine = content.get("engine", "torch")  # in version 0.1.0 no other had checkpoints
    dtype, tokenizer = content.get("dtype"), content.get("tokenizer")
    if step is None or processes is None or engine not in ENGINES or dtype not in DTYPES:
        raise CheckpointError("its metadata is not a checkpoint's")
    match tokenizer:
        case [str(charset), int(bos), list(special_tokens)]:
            vocabulary = (charset, bos, tuple(special_tokens))
        case _:
            raise CheckpointError("its metadata has no tokenizer")
    return {
        "step": step,
        "processes": processes,
        "engine": str(engine),
        "dtype": str(dtype),
        "model": from_json(ModelConfig, content.get("model")),
        "train": from_json(TrainConfig, content.get("train")),
        "tokenizer": vocabulary,
    }
