"""Save and load a run of engine "torch" as one safetensors file: all that the next step needs.

The file has tensors `weight.NAME`, `m.NAME` and `v.NAME` for each NAME of `ugpt.layout`, and
`Facts` as JSON in its metadata.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from ugpt.layout import parameter_table

from microgpt import files
from microgpt.config import ModelConfig, TrainConfig, from_json
from microgpt.engines.torch import STORED, TorchModel
from microgpt.errors import UserError
from microgpt.runs.log import json_object, whole
from microgpt.tokenizer import Tokenizer

FILE = "checkpoint.safetensors"  # in a run's folder
METADATA = "microgpt"  # the key of the facts
PARTS = ("weight", "m", "v")


class Facts(TypedDict):
    """What a checkpoint has besides tensors; `step` is the next step to take."""

    step: int
    processes: int
    dtype: str
    model: ModelConfig
    train: TrainConfig
    tokenizer: tuple[str, int, tuple[str, ...]]  # charset, bos, special_tokens


class CheckpointError(UserError):
    """A file is not a checkpoint from which a run can continue."""


class Checkpoint(NamedTuple):
    """A run to continue: its model with the optimizer's state, its settings, its next step."""

    model: TorchModel
    config: TrainConfig
    step: int


def save(folder: Path, model: TorchModel, config: TrainConfig, step: int) -> None:
    """Replace the checkpoint in a run's folder by the state before `step`, atomically."""
    tensors = {}
    for name, parameter in model.net.named_parameters():
        state = model.adam.state.get(parameter)
        tensors[f"weight.{name}"] = parameter.detach()
        tensors[f"m.{name}"] = state["exp_avg"] if state else torch.zeros_like(parameter)
        tensors[f"v.{name}"] = state["exp_avg_sq"] if state else torch.zeros_like(parameter)
    tokenizer = model.tokenizer
    facts: Facts = {
        "step": step,
        "processes": model.processes.world,
        "dtype": model.dtype,
        "model": model.config,
        "train": config,
        "tokenizer": (tokenizer.charset, tokenizer.bos, tokenizer.special_tokens),
    }
    metadata = {METADATA: json.dumps(facts, default=dataclasses.asdict)}
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with files.replacing(folder / FILE) as new:
        save_file(contiguous, new, metadata)


def load(folder: Path, device: str | None = None) -> Checkpoint:
    """Return the run in the checkpoint of a run's folder; `device` as for TorchModel.

    Raises CheckpointError if the file is missing, broken or something else, or if it was saved by
    another number of processes than there are now.
    """
    path = folder / FILE
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no checkpoint: train with --engine torch --checkpoint-every N"
        )
    try:
        facts, tensors = _read(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (SafetensorError, UserError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of microgpt: {error}") from None
    weights = {
        name.removeprefix("weight."): tensor.numpy()
        for name, tensor in tensors.items()
        if name.startswith("weight.")
    }
    tokenizer = Tokenizer(*facts["tokenizer"])
    model = TorchModel(facts["model"], tokenizer, weights, facts["dtype"], device)
    if model.processes.world != facts["processes"]:
        raise CheckpointError(
            f"{path} is of {facts['processes']} processes, not {model.processes.world}: "
            f"torchrun --nproc-per-node {facts['processes']} -m microgpt resume"
        )
    for name, parameter in model.net.named_parameters():
        model.adam.state[parameter] = {
            "step": torch.tensor(float(facts["step"]), device=parameter.device),
            "exp_avg": tensors[f"m.{name}"].to(parameter),
            "exp_avg_sq": tensors[f"v.{name}"].to(parameter),
        }
    return Checkpoint(model, facts["train"], facts["step"])


def _read(path: Path) -> tuple[Facts, dict[str, Tensor]]:
    """Return the content of a checkpoint, with tensors of the shapes that its facts ask for.

    Raises CheckpointError with the reason, SafetensorError, OSError.
    """
    with safe_open(path, "pt") as file:
        facts = _facts((file.metadata() or {}).get(METADATA, ""))
        vocab_size = Tokenizer(*facts["tokenizer"]).vocab_size
        table = parameter_table(facts["model"].sizes(vocab_size))
        shapes = {f"{part}.{name}": shape for name, shape, _ in table for part in PARTS}
        names = set(file.keys())
        if names != set(shapes):
            raise CheckpointError(f"{min(names ^ set(shapes))} is missing or unknown")
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in shapes}
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != shapes[name]:
            raise CheckpointError(f"{name} has shape {tuple(tensor.shape)}, not {shapes[name]}")
    return facts, tensors


def _facts(text: str) -> Facts:
    """Return the facts in a checkpoint's metadata; raise UserError with what is wrong."""
    content = json_object(text)
    step, processes = whole(content.get("step")), whole(content.get("processes"))
    dtype, tokenizer = content.get("dtype"), content.get("tokenizer")
    if step is None or processes is None or dtype not in STORED:
        raise CheckpointError("its metadata is not a checkpoint's")
    match tokenizer:
        case [str(charset), int(bos), list(special_tokens)]:
            vocabulary = (charset, bos, tuple(special_tokens))
        case _:
            raise CheckpointError("its metadata has no tokenizer")
    return {
        "step": step,
        "processes": processes,
        "dtype": str(dtype),
        "model": from_json(ModelConfig, content.get("model")),
        "train": from_json(TrainConfig, content.get("train")),
        "tokenizer": vocabulary,
    }


def restore(folder: Path, model: TorchModel) -> None:
    """Set the weights of `model` to those of the checkpoint in its run's folder."""
    with safe_open(folder / FILE, "pt") as file:
        model.load({name: file.get_tensor(f"weight.{name}").numpy() for name, _, _ in model.table})
