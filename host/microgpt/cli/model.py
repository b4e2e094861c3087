"""The commands about one model: generate, info, gradcheck."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

import microgpt
from microgpt import data
from microgpt.cli.console import console
from microgpt.cli.options import PATH, engine_option, model_config, model_options


@click.command()
@click.argument("folder", type=PATH)
@click.option("-n", "--num-samples", default=20, show_default=True)
@click.option("--temperature", default=0.5, show_default=True, help="0: always the likeliest.")
@click.option("--seed", default=42, show_default=True)
@click.option("--prompt", default="", help="What each document begins with.")
@engine_option
def generate(
    folder: Path, num_samples: int, temperature: float, seed: int, prompt: str, engine: str
) -> None:
    """Make up documents with a model.

    Example: microgpt generate runs/first --temperature 0.8
    """
    model = microgpt.load(folder, engine=engine)
    for text in microgpt.generate(model, num_samples, temperature, seed, prompt):
        click.echo(text)


@click.command()
@click.argument("folder", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def info(folder: Path, as_json: bool) -> None:
    """Say what a model is: sizes, memory, whether a board takes it.

    Example: microgpt info runs/first --json
    """
    from microgpt.board import BOARD_BYTES
    from microgpt.info import about

    facts = about(microgpt.load(folder))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for field in dataclasses.fields(microgpt.ModelConfig):
        console.print(f"{field.name}: {str(facts[field.name]).lower()}", markup=False)
    board = facts["board"]
    lines = [
        f"vocabulary: {facts['vocab_size']} tokens, BOS is {facts['bos']}, "
        f"characters {facts['charset']!r}",
        f"special tokens: {' '.join(facts['special_tokens']) or 'none'}",
        f"memory: {facts['memory']['train'] / 1024:,.0f} KB to train, "
        f"{facts['memory']['run'] / 1024:,.0f} KB to run, in float32",
        f"an ESP32 has the memory to train it: {'yes' if board['fits'] else 'no'}, "
        f"{BOARD_BYTES // 1024} KB are free there",
        f"make push takes it: {'yes' if board['push'] else 'no, ' + '; '.join(board['reasons'])}",
    ]
    for line in lines:
        console.print(line, markup=False)
    table = Table(box=None)
    for heading in ("matrix", "shape", "parameters"):
        table.add_column(heading, justify="left" if heading == "matrix" else "right")
    for name, (rows, columns) in facts["matrices"].items():
        table.add_row(name, f"{rows} x {columns}", f"{rows * columns:,}")
    table.add_row("all", "", f"{facts['parameters']:,}")
    console.print(table)


@click.command()
@click.option("--document", "documents", multiple=True, help="A text to check on; repeatable.")
@click.option("--seed", default=42, show_default=True)
@click.option("--tolerance", type=float, help="Largest error allowed [default: 1e-6].")
@model_options
def gradcheck(documents: tuple[str, ...], seed: int, tolerance: float | None, **sizes: Any) -> None:
    """Check every gradient of a new model.

    Holds those of engine tensor against finite differences and against engine scalar's.
    Errors are relative to the largest gradient of their matrix. Exit code 1 above the tolerance.
    """
    from microgpt.lab.gradcheck import TOLERANCE, gradcheck, relative_errors

    tolerance = TOLERANCE if tolerance is None else tolerance
    documents = documents or ("emma", "a", "maryalexandrina")
    config = model_config(sizes)
    charset = data.charset_of(["abcdefghijklmnopqrstuvwxyz", *documents])
    tensor = microgpt.create(config, charset, seed, "tensor", "float64")
    scalar = microgpt.create(config, charset, seed, "scalar")
    table = Table(box=None)
    table.add_column("matrix")
    for heading in ("finite differences", "scalar engine", ""):
        table.add_column(heading, justify="right")
    worst = {name: np.zeros(2) for name in tensor.weights}
    for text in documents:
        tokens = tensor.tokenizer.encode(text)
        slopes = gradcheck(tensor, tokens)
        (_, found), (_, expected) = tensor.loss_and_grads(tokens), scalar.loss_and_grads(tokens)
        differences = relative_errors(found, expected)
        for name, pair in worst.items():  # np.maximum, unlike max, hands a NaN on
            worst[name] = np.maximum(pair, (slopes[name], differences[name]))
    passed = {name: bool((pair <= tolerance).all()) for name, pair in worst.items()}
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
