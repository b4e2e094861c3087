"""A run of engine "torch" as one safetensors file: all that the next step depends on.

Tensors `weight.NAME`, `m.NAME` and `v.NAME` by the names of `ugpt.layout`; the step to go on with
and what the run was made of are JSON in the file's metadata.
"""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from microgpt import files
from microgpt.config import ModelConfig, TrainConfig
from microgpt.tokenizer import Tokenizer
from microgpt.engines.torch import TorchModel
from microgpt.errors import UserError

FILE = "checkpoint.safetensors"  # in a run's folder


class CheckpointError(UserError):
    """A file is not a checkpoint that a run can go on from."""


def save(folder: Path, model: TorchModel, config: TrainConfig, step: int) -> None:
    """Write the state before `step` into a run's folder, whole or not at all."""
    tensors = {}
    for name, parameter in model.net.named_parameters():
        state = model.adam.state.get(parameter)
        tensors[f"weight.{name}"] = parameter.detach()
        tensors[f"m.{name}"] = state["exp_avg"] if state else torch.zeros_like(parameter)
        tensors[f"v.{name}"] = state["exp_avg_sq"] if state else torch.zeros_like(parameter)
    tokenizer = model.tokenizer
    facts = {
        "step": step,
        "processes": model.processes.world,
        "dtype": model.dtype,
        "model": dataclasses.asdict(model.config),
        "train": dataclasses.asdict(config),
        "tokenizer": [tokenizer.charset, tokenizer.bos, tokenizer.special_tokens],
    }
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with files.replacing(folder / FILE) as new:
        save_file(contiguous, new, {"microgpt": json.dumps(facts)})


def load(folder: Path, device: str | None = None) -> tuple[TorchModel, TrainConfig, int]:
    """Return the model with its optimizer, the run's configuration and the next step.

    Raises CheckpointError if the file is missing, broken or something else, or of another number
    of processes.
    """
    path = folder / FILE
    if not path.exists():
        raise CheckpointError(
            f"{folder} has no checkpoint: train with --engine torch --checkpoint-every N"
        )
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["microgpt"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = [name.removeprefix("weight.") for name in tensors if name.startswith("weight.")]
        weights = {name: tensors[f"weight.{name}"].numpy() for name in names}
        model = TorchModel(
            ModelConfig(**facts["model"]),
            Tokenizer(*facts["tokenizer"]),
            weights,
            facts["dtype"],
            device,
        )
        if model.processes.world != facts["processes"]:
            raise CheckpointError(
                f"{path} is of {facts['processes']} processes, not {model.processes.world}: "
                f"torchrun --nproc-per-node {facts['processes']} -m microgpt resume"
            )
        step = facts["step"]
        for name, parameter in model.net.named_parameters():
            model.adam.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device),
                "exp_avg": tensors[f"m.{name}"].to(parameter),
                "exp_avg_sq": tensors[f"v.{name}"].to(parameter),
            }
        return model, TrainConfig(**facts["train"]), step
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of microgpt: {error}") from None


def restore(folder: Path, model: TorchModel) -> None:
    """Give `model` the weights of the checkpoint in its run's folder."""
    with safe_open(folder / FILE, "pt") as file:
        model.load({name: file.get_tensor(f"weight.{name}").numpy() for name, _, _ in model.table})
