"""Options that several commands share, with the one default and the one help text of each."""

import dataclasses
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from microgpt.config import DECAYS, ORDERS, ModelConfig, TrainConfig
from microgpt.engines import DTYPES, ENGINES

Command = TypeVar("Command", bound=Callable[..., object])
PATH = click.Path(path_type=Path)  # unlike Path itself, it completes file names

_TRAIN_OPTIONS: dict[str, dict[str, Any]] = {  # what click needs besides a field's default
    "steps": {"help": "Steps."},
    "lr": {"help": "Learning rate of the first step."},
    "seed": {"help": "Fixes weights and order."},
    "order": {"type": click.Choice(ORDERS), "help": "How documents are taken."},
    "batch": {"help": "Documents a step."},
    "validation": {
        "param_decls": ["--validation", "--holdout"],
        "help": "Share of the documents kept for the validation loss.",
    },
    "stop_after": {"type": int, "help": "Stop after this many of the steps."},
    "gradient_accumulation": {
        "param_decls": ["--gradient-accumulation", "--accumulate"],
        "help": "Batches a step, one at a time.",
    },
    "decay": {"type": click.Choice(DECAYS), "help": "How the learning rate decays."},
}


def train_options(*names: str, **defaults: object) -> Callable[[Command], Command]:
    """Add the options of TrainConfig with these names, all of them if none is given.

    `defaults` are those that differ from TrainConfig's.
    """
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}

    def add(command: Command) -> Command:
        for name in reversed(names or tuple(fields)):
            more = dict(_TRAIN_OPTIONS[name])
            words = more.pop("param_decls", ["--" + name.replace("_", "-")])
            default = defaults.get(name, fields[name].default)
            shown = default is not None
            command = click.option(*words, name, default=default, show_default=shown, **more)(
                command
            )
        return command

    return add


def model_options(command: Command) -> Command:
    """Add the sizes and switches of a new model, ModelConfig's, as options."""
    for field in reversed(dataclasses.fields(ModelConfig)):
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            name += "/--no-" + field.name.replace("_", "-")
        command = click.option(name, field.name, default=field.default, show_default=True)(command)
    return command


def model_config(settings: dict[str, Any]) -> ModelConfig:
    """Return the ModelConfig among a command's options, which are taken out of `settings`."""
    names = [field.name for field in dataclasses.fields(ModelConfig)]
    return ModelConfig(**{name: settings.pop(name) for name in names})


engine_option = click.option(
    "--engine", type=click.Choice(ENGINES), default="tensor", show_default=True
)
dtype_option = click.option(
    "--dtype", type=click.Choice(DTYPES), default="float32", show_default=True
)


def require(extra: str, *modules: str) -> None:
    """Raise one line, before any work is done, if an extra is not installed."""
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            message = f"no {module} here: .venv/bin/pip install -e '.[{extra}]'"
            raise click.ClickException(message) from None
