"""Options that several commands share, each with one default and one help text.

Sizes of a model, settings of a training and of sampling are not listed here: they are the fields of
ModelConfig, TrainConfig and Sampling, and a command receives them as one of these.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from microgpt.config import (
    DECAYS,
    FORMER_NAMES,
    ORDERS,
    ModelConfig,
    TrainConfig,
    check_seed,
    field_names,
)
from microgpt.engines import AUTO, DTYPES, ENGINES
from microgpt.errors import ConfigError
from microgpt.runs.plan import Plan, PlanError
from microgpt.sampling import HELP, Sampling, SamplingError

Command = Callable[..., object]  # the function of a command
Decorator = Callable[[Command], Command]


class _Path(click.Path):
    """A Path that is not empty; unlike Path itself as a type, it completes file names."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the Path; end the command for an empty word, which would be the current folder."""
        if value == "":
            self.fail("it is empty: name a file or a folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)

_SEED_HELP = "The same seed gives the same result."
_TRAIN_HELP = {
    "steps": "Training steps.",
    "lr": "Learning rate of the first step.",
    "seed": _SEED_HELP,
    "order": "Order of the documents.",
    "batch": "Documents in a batch.",
    "validation": "Share of the documents for the validation loss, not trained on.",
    "stop_after": "Stop after this many steps of --steps.",
    "gradient_accumulation": "Batches in a step, computed one after another.",
    "decay": "How the learning rate decays to 0.",
}
MODEL_HELP = {
    "n_embd": "Width of the embeddings.",
    "n_head": "Attention heads of a layer.",
    "n_layer": "Layers.",
    "block_size": "Most positions of a document.",
    "tie_lm_head": "Use the token embeddings as the output matrix.",
    "input_rmsnorm": "Normalize the embeddings (RMSNorm).",
}
_TYPES: dict[str, click.Choice[str] | type] = {  # where the default does not say it
    "order": click.Choice(ORDERS),
    "decay": click.Choice(DECAYS),
    "stop_after": int,
}


def train_options(*names: str, **defaults: float) -> Decorator:
    """Add options for these fields of TrainConfig, for all of them if none is named.

    The command receives a TrainConfig as `config`; the other fields have their defaults.
    `defaults` are those of the command, where they are not TrainConfig's. A value that TrainConfig
    does not allow ends the command with its ConfigError, which then names the option.
    """
    fields = {field.name: field.default for field in dataclasses.fields(TrainConfig)} | defaults
    options = [_train_option(name, fields[name]) for name in names or fields]
    return _collected(TrainConfig, "config", names or tuple(fields), options)


def _train_option(name: str, default: object) -> Decorator:
    words = [option_word(name)]
    if name in FORMER_NAMES:
        words.append(option_word(FORMER_NAMES[name]))
    return click.option(
        *words,
        name,
        type=_TYPES.get(name),
        default=default,
        show_default=default is not None,
        help=_TRAIN_HELP[name],
    )


def model_options(command: Command) -> Command:
    """Add an option for each field of ModelConfig; the command receives one as `model`."""
    names = []
    options: list[Decorator] = []
    for field in dataclasses.fields(ModelConfig):
        word = option_word(field.name)
        if isinstance(field.default, bool):
            word += "/--no-" + word.removeprefix("--")
        names.append(field.name)
        about = MODEL_HELP[field.name]
        options.append(
            click.option(word, field.name, default=field.default, show_default=True, help=about)
        )
    return _collected(ModelConfig, "model", names, options)(command)


def sampling_options(command: Command) -> Command:
    """Add an option for each field of Sampling; the command receives one as `sampling`."""
    fields = {field.name: field.default for field in dataclasses.fields(Sampling)}
    options = [
        click.option(option_word(name), name, default=default, show_default=True, help=HELP[name])
        for name, default in fields.items()
    ]
    return _collected(Sampling, "sampling", tuple(fields), options)(command)


def option_word(field: str) -> str:
    """Return the option for a field of ModelConfig, TrainConfig or Sampling."""
    return "--" + field.replace("_", "-")


@contextmanager
def naming_options(
    fields: Iterable[str] = (*field_names(ModelConfig), *field_names(TrainConfig)),
) -> Iterator[None]:
    """Let an error in the block name options, --n-embd, where it names fields, n_embd."""
    try:
        yield
    except (ConfigError, SamplingError) as error:
        a_field = rf"(?<![\w-])({'|'.join(fields)})\b"
        named = re.sub(a_field, lambda found: option_word(found[1]), str(error))
        raise type(error)(named) from error


def _collected(
    kind: type[ModelConfig] | type[TrainConfig] | type[Sampling],
    parameter: str,
    names: Sequence[str],
    options: Sequence[Decorator],
) -> Decorator:
    """Return a decorator that adds `options` and hands their values on as one `kind`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def collected(*args: object, **values: Any) -> object:  # Any: click gives each its type
            with naming_options(names):
                config = kind(**{name: values.pop(name) for name in names})
            return command(*args, **values, **{parameter: config})

        result: Command = collected
        for option in reversed(options):
            result = option(result)
        return result

    return decorate


engine_option = click.option(
    "--engine",
    type=click.Choice((AUTO, *ENGINES)),
    default=Plan.engine,
    show_default=True,
    help="What computes; auto: the quickest of native and tensor.",
)
dtype_option = click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default=Plan.dtype,
    show_default=True,
    help="Of the arithmetic; bfloat16 for engine torch.",
)
data_option = click.option(
    "--data", "path", type=PATH, help="Documents, one a line [default: the shipped names]."
)


def _checked_seed(_: click.Context, __: click.Parameter, seed: int) -> int:
    with naming_options(["seed"]):
        check_seed(seed)
    return seed


seed_option = click.option(
    "--seed",
    default=TrainConfig.seed,
    show_default=True,
    callback=_checked_seed,
    help=_SEED_HELP,
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


def _tensorboard(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Return the folder of --tensorboard; raise click.ClickException if its library is missing."""
    if folder:
        require("tensorboard", "tensorboard")
    return folder


tensorboard_option = click.option(
    "--tensorboard",
    type=PATH,
    metavar="DIR",
    callback=_tensorboard,
    help="Write the run for TensorBoard too, into a folder below this one.",
)


def new_path(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Return the path of --out; raise PlanError if it exists, before anything is computed."""
    if path and path.exists():
        raise PlanError(f"{path} exists already: name another with --out")
    return path


def require(extra: str, *modules: str) -> None:
    """Raise click.ClickException if a module of an extra is not installed.

    A command calls it first, so that nothing is half done.
    """
    for module in modules:
        if find_spec(module) is None:
            raise click.ClickException(f"no {module} here: .venv/bin/pip install -e '.[{extra}]'")
