"""The commands about one model: generate, info, export, gradcheck."""

import dataclasses
import functools
import json
import sys
from pathlib import Path
from typing import Literal

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import microgpt
from microgpt import data, model_io
from microgpt.cli.console import console, give, say
from microgpt.cli.options import (
    PATH,
    engine_option,
    json_option,
    model_options,
    naming_options,
    new_path,
    sampling_options,
    seed_option,
)
from microgpt.config import ModelConfig, TrainConfig
from microgpt.display import bar
from microgpt.engines import NOT_BUILT, native_is_here
from microgpt.errors import UserError
from microgpt.lab.gradcheck import TOLERANCE, gradcheck, relative_errors
from microgpt.sampling import Sampling, generated
from microgpt.system import files
from microgpt.training import check_step

DOCUMENTS = ("emma", "a", "maryalexandrina")  # that gradients are checked on


@click.command("generate")
@click.argument("folder", type=PATH)
@click.option("-n", "--num-samples", default=20, show_default=True, help="How many.")
@sampling_options
@seed_option
@click.option("--prompt", default="", help="What each document begins with.")
@engine_option
def generate_command(
    folder: Path, num_samples: int, seed: int, prompt: str, engine: str, sampling: Sampling
) -> None:
    """Generate documents with a model.

    Example: microgpt generate runs/first --temperature 0.8
    """
    model = microgpt.load(folder, engine=engine)
    for text in generated(model, num_samples, sampling, seed, prompt):
        give(text)


@click.command("info")
@click.argument("folder", type=PATH)
@json_option
def info_command(folder: Path, as_json: bool) -> None:
    """Show sizes, vocabulary and memory of a model.

    It also shows which boards have the memory to train it, and whether one takes its weights.

    Example: microgpt info runs/first --json
    """
    from microgpt import boards
    from microgpt.info import about

    model = microgpt.load(folder)
    facts = about(model)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in dataclasses.asdict(model.config).items():
        say(f"{name}: {str(value).lower()}")
    board = facts["board"]
    missing = "" if native_is_here() else f"; {NOT_BUILT}"
    lines = [
        f"engine auto takes {model.engine}{missing}",
        f"vocabulary: {facts['vocab_size']} tokens, BOS is {facts['bos']}, "
        f"characters {facts['charset']!r}",
        f"special tokens: {' '.join(facts['special_tokens']) or 'none'}",
        f"memory: {facts['memory']['train'] / 1024:,.0f} KB to train, "
        f"{facts['memory']['run'] / 1024:,.0f} KB to run, in engine tensor, float32",
        f"memory: {board['bytes']:,} bytes to train on a board",
        *boards.verdicts(model.sizes),
        f"make push takes it: {'yes' if board['push'] else 'no, ' + '; '.join(board['reasons'])}",
    ]
    for line in lines:
        say(line)
    table = Table(box=None)
    for heading in ("matrix", "shape", "parameters"):
        justify: Literal["left", "right"] = "left" if heading == "matrix" else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for name, (rows, columns) in facts["matrices"].items():
        table.add_row(name, f"{rows} x {columns}", f"{rows * columns:,}")
    table.add_row("all", "", f"{facts['parameters']:,}")
    console.print(table)


@click.command("export")
@click.argument("folder", type=PATH)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(model_io.FORMATS)),
    required=True,
    help="json: weights.json; safetensors: model.safetensors, smaller and quicker to load.",
)
@click.option(
    "--out",
    type=PATH,
    callback=new_path,
    help="A new folder, or a new file.safetensors that is the whole model [default: FOLDER].",
)
def export_command(folder: Path, form: model_io.Format, out: Path | None) -> None:
    """Write a model with its weights in another format.

    FOLDER is a model, a run, or a safetensors file: a whole model or a checkpoint. Without --out,
    the weights in FOLDER are replaced by those in the other format. No value changes.

    Example: microgpt export runs/first --format safetensors --out first.safetensors
    """
    target = out or model_io.folder_of(folder)
    config, tokenizer, weights = model_io.read(folder, "float64")
    try:
        model_io.save(config, tokenizer, weights, target, form)
    except OSError as error:
        raise UserError(f"{files.explained(error)}: name another with --out") from error
    written = target if target.is_file() else target / model_io.FORMATS[form]
    say(f"{written}: {written.stat().st_size:,} bytes")


@click.command("gradcheck")
@click.option(
    "--document", "documents", multiple=True, help="Text to check the gradients on; repeatable."
)
@seed_option
@click.option("--tolerance", default=TOLERANCE, show_default=True, help="Largest error allowed.")
@model_options
def gradcheck_command(
    documents: tuple[str, ...], seed: int, tolerance: float, model: ModelConfig
) -> None:
    """Check every gradient of a new model.

    Those of engine tensor are compared with finite differences and with those of engine scalar.
    An error is relative to the largest gradient of its matrix. Exit code 1 above the tolerance.

    Example: microgpt gradcheck --document emma
    """
    documents = documents or DOCUMENTS
    charset = data.charset_of(["abcdefghijklmnopqrstuvwxyz", *documents])
    with naming_options():
        tensor = microgpt.create(model, charset, seed, "tensor", "float64")
        scalar = microgpt.create(model, charset, seed, "scalar")
        check_step(scalar, documents, TrainConfig())
    worst = {name: np.zeros(2) for name in tensor.weights}
    with bar("parameters", Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(documents) * tensor.parameter_count)
        for text in documents:
            tokens = tensor.tokenizer.encode(text)
            slopes = gradcheck(tensor, tokens, functools.partial(progress.advance, task))
            (_, found), (_, expected) = tensor.loss_and_grads(tokens), scalar.loss_and_grads(tokens)
            against_scalar = relative_errors(found, expected)
            for name, pair in worst.items():  # unlike max, np.maximum keeps a NaN
                worst[name] = np.maximum(pair, (slopes[name], against_scalar[name]))
    passed = {name: bool((pair <= tolerance).all()) for name, pair in worst.items()}
    table = Table(box=None)
    table.add_column("matrix", overflow="fold")
    for heading in ("finite differences", "scalar engine", ""):
        table.add_column(heading, justify="right")
    for name, pair in worst.items():
        verdict = "ok" if passed[name] else "FAIL"
        table.add_row(name, *(f"{error:.1e}" for error in pair), verdict)
    console.print(table)
    failed = not all(passed.values())
    console.print(
        f"{tensor.parameter_count:,} parameters, {len(documents)} documents: "
        f"{'FAIL' if failed else 'ok'} (tolerance {tolerance:.0e})"
    )
    sys.exit(1 if failed else 0)
