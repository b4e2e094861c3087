"""The command `microgpt`: train, generate, info, gradcheck, bench."""

import dataclasses
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import microgpt
from microgpt import data, runs
from microgpt.config import ORDERS
from microgpt.model import DTYPES, ENGINES

PLAIN_LINES = 20  # in a pipe: about this many of a run's steps

console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; an error is one line on stderr, and 1 or 2."""
    np.seterr(all="ignore")  # what overflows ends in an error of our own
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        print(f"error: {' '.join(error.format_message().split())}{hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (ValueError, OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="microgpt-esp32")
def cli() -> None:
    """Train and sample microgpt: the board's model, and larger ones."""


def model_options(command: Callable) -> Callable:
    """The sizes and switches of a new model, as options."""
    for field in reversed(dataclasses.fields(microgpt.ModelConfig)):
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            name += "/--no-" + field.name.replace("_", "-")
        option = click.option(name, field.name, default=field.default, show_default=True)
        command = option(command)
    return command


@cli.command()
@click.option("--data", "path", type=Path, default=data.NAMES, help="Documents, one a line.")
@click.option("--steps", default=1000, show_default=True, help="Steps, a document each.")
@click.option("--lr", default=0.01, show_default=True, help="Learning rate of the first step.")
@click.option("--seed", default=42, show_default=True, help="Fixes weights and order.")
@click.option("--order", type=click.Choice(ORDERS), default="shuffled", show_default=True)
@click.option("--engine", type=click.Choice(ENGINES), default="tensor", show_default=True)
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--out", type=Path, help="The run's folder [default: a new one under runs/].")
@model_options
def train(
    path: Path,
    steps: int,
    lr: float,
    seed: int,
    order: str,
    engine: str,
    dtype: str,
    out: Path | None,
    **sizes: int | bool,
) -> None:
    """Train a model from scratch, and leave a run's folder.

    Example: microgpt train --steps 2000 --n-embd 32 --out runs/first
    """
    docs = data.read_docs(path)
    model_config = microgpt.ModelConfig(**sizes)
    config = microgpt.TrainConfig(steps=steps, lr=lr, seed=seed, order=order)
    charset = data.charset_of(docs)
    model = microgpt.create(model_config, charset, seed, engine, dtype)
    about = {
        "engine": engine,
        "dtype": model.dtype,
        "seed": seed,
        "model": dataclasses.asdict(model_config),
        "train": dataclasses.asdict(config),
        "parameters": model.parameter_count,
        "data": {"path": str(path), "documents": len(docs), "sha256": data.sha256_of(path)},
    }
    folder = out or runs.new_folder(engine)
    if folder.exists():
        raise ValueError(f"{folder} exists already: name another with --out")
    interrupted = False
    with runs.Run(folder, about) as run:
        records = microgpt.train(model, docs, config)
        try:
            for record in show_progress(records, steps):
                run.log(dataclasses.asdict(record))
        except KeyboardInterrupt:
            interrupted = True
        model.save(folder / "model")
        remark = run.close()
    if remark:
        console.print(remark, markup=False)
    console.print(
        ("interrupted: " if interrupted else "") + f"the run is in {folder}", markup=False
    )
    sys.exit(130 if interrupted else 0)


def show_progress(records: Iterable[microgpt.Record], steps: int) -> Iterator[microgpt.Record]:
    """Pass `records` on, and show loss, mean of the last 100, steps a second and time left."""
    last: deque[float] = deque(maxlen=runs.SMOOTHED_OVER)
    started = time.monotonic()
    live = console.is_terminal
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  mean {task.fields[mean]:.4f}"),
        TextColumn("{task.fields[rate]:,.0f} steps/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not live) as progress:
        task = progress.add_task("", total=steps, loss=0.0, mean=0.0, rate=0.0)
        every = max(1, steps // PLAIN_LINES)
        shown = 0.0
        for record in records:
            last.append(record.loss)
            done = record.step + 1
            now = time.monotonic()
            if live and (now - shown > 0.1 or done == steps) or not live and done % every == 0:
                shown = now
                mean = sum(last) / len(last)
                rate = done / max(now - started, 1e-9)
                if live:
                    progress.update(task, completed=done, loss=record.loss, mean=mean, rate=rate)
                else:
                    left = round((steps - done) / rate)
                    console.print(
                        f"step {done}/{steps}  loss {record.loss:.4f}  mean {mean:.4f}  "
                        f"{rate:,.0f} steps/s  {left // 60}:{left % 60:02} left"
                    )
            yield record


@cli.command()
@click.argument("folder", type=Path)
@click.option("-n", "--num-samples", default=20, show_default=True)
@click.option("--temperature", default=0.5, show_default=True)
@click.option("--seed", default=42, show_default=True)
@click.option("--engine", type=click.Choice(ENGINES), default="tensor", show_default=True)
def generate(folder: Path, num_samples: int, temperature: float, seed: int, engine: str) -> None:
    """Make up documents with a model.

    Example: microgpt generate runs/first --temperature 0.8
    """
    model = microgpt.load(folder, engine=engine)
    for text in microgpt.generate(model, num_samples, temperature, seed):
        click.echo(text)


cli.add_command(generate, "sample")


@cli.command()
@click.argument("folder", type=Path)
def info(folder: Path) -> None:
    """Say what a model is: sizes, vocabulary, matrices."""
    model = microgpt.load(folder)
    table = Table(box=None)
    for heading in ("matrix", "shape", "parameters"):
        table.add_column(heading, justify="left" if heading == "matrix" else "right")
    for name, (rows, columns), _ in model.table:
        table.add_row(name, f"{rows} x {columns}", f"{rows * columns:,}")
    table.add_row("all", "", f"{model.parameter_count:,}")
    tokenizer = model.tokenizer
    for name, value in dataclasses.asdict(model.config).items():
        console.print(f"{name}: {str(value).lower()}", markup=False)
    console.print(
        f"vocabulary: {tokenizer.vocab_size} tokens, BOS is {tokenizer.bos}, "
        f"characters {tokenizer.charset!r}",
        markup=False,
    )
    console.print(table)


@cli.command()
@click.option("--document", "documents", multiple=True, help="A text to check on; repeatable.")
@click.option("--seed", default=42, show_default=True)
@click.option("--tolerance", type=float, help="Largest error allowed [default: 1e-6].")
@model_options
def gradcheck(
    documents: tuple[str, ...], seed: int, tolerance: float | None, **sizes: int | bool
) -> None:
    """Check every gradient of a new model.

    Holds those of engine tensor against finite differences and against engine scalar's.
    Errors are relative to the largest gradient of their matrix. Exit code 1 above the tolerance.
    """
    from microgpt.gradcheck import TOLERANCE, gradcheck, relative_errors

    tolerance = TOLERANCE if tolerance is None else tolerance
    documents = documents or ("emma", "a", "maryalexandrina")
    config = microgpt.ModelConfig(**sizes)
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


@cli.command()
@click.option("--data", "path", type=Path, default=data.NAMES, help="Documents, one a line.")
@click.option(
    "--steps", type=click.IntRange(1), default=50, show_default=True, help="Steps in a repeat."
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seed", default=42, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def bench(path: Path, steps: int, repeats: int, seed: int, as_json: bool) -> None:
    """Time a training step of scalar and tensor, in one run, on one thread.

    Example: microgpt bench --repeats 9
    """
    from microgpt.bench import bench

    docs = data.read_docs(path)
    with Console(stderr=True).status("warming up") as status:
        result = bench(docs, data.charset_of(docs), steps, repeats, seed, status.update)
    result = {"environment": runs.environment(), **result}
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    about, engines = result["protocol"], result["engines"]
    table = Table(box=None)
    table.add_column("engine")
    for heading in ("µs a step", "steps/s", "tokens/s", "times scalar"):
        table.add_column(heading, justify="right")
    for engine, row in engines.items():
        figures = [row["us_per_step"], row["steps_per_s"], row["tokens_per_s"]]
        cells = [f"{figure:,.0f}" for figure in figures]
        table.add_row(engine, *cells, f"{result['speedup'][engine]:,.1f}")
    environment = result["environment"]
    console.print(f"{environment['processor']}, {environment['system']}, one thread", markup=False)
    console.print(
        f"{about['parameters']:,} parameters, a document a step, "
        f"medians of {about['repeats']} repeats of {about['steps']} steps",
        markup=False,
    )
    console.print(table)
