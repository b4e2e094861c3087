"""The command `microgpt`: train, generate, info, gradcheck, and those of `cli_lab`."""

import dataclasses
import sys
from pathlib import Path

import click
import numpy as np
from rich.table import Table
from threadpoolctl import threadpool_limits

import microgpt
from microgpt import cli_lab, data, runs
from microgpt.config import ORDERS, field_names
from microgpt.model import DTYPES, ENGINES
from microgpt.plan import Plan, differences, read_plan
from microgpt.terminal import PATH, console, model_options, show_progress


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


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nTab completion in bash; for zsh or fish, zsh_source or fish_source:\n"
    '  eval "$(_MICROGPT_COMPLETE=bash_source microgpt)"',
)
@click.version_option(package_name="microgpt-esp32")
def cli() -> None:
    """Train and sample microgpt: the board's model, and larger ones."""


@cli.command()
@click.option("--data", "path", type=PATH, default=data.NAMES, help="Documents, one a line.")
@click.option("--steps", default=1000, show_default=True, help="Steps.")
@click.option("--stop-after", type=int, help="End after so many of the steps.")
@click.option("--batch", default=1, show_default=True, help="Documents a step.")
@click.option("--lr", default=0.01, show_default=True, help="Learning rate of the first step.")
@click.option("--seed", default=42, show_default=True, help="Fixes weights and order.")
@click.option("--order", type=click.Choice(ORDERS), default="shuffled", show_default=True)
@click.option("--holdout", default=0.0, show_default=True, help="Share kept out of training.")
@click.option("--engine", type=click.Choice(ENGINES), default="tensor", show_default=True)
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="1 repeats.")
@click.option("--from", "start", type=PATH, help="Go on from this model; Adam begins anew.")
@click.option("--out", type=PATH, help="The run's folder [default: a new one under runs/].")
@click.option("--repeat", "earlier", type=PATH, help="Do this run again; report differences.")
@model_options
@click.pass_context
def train(
    context: click.Context,
    path: Path,
    engine: str,
    dtype: str,
    threads: int,
    start: Path | None,
    out: Path | None,
    earlier: Path | None,
    **settings: int | float | bool | str | None,
) -> None:
    """Train a model from scratch, and leave a run's folder.

    \b
    Examples: microgpt train --steps 2000 --n-embd 32 --out runs/first
              microgpt train --from runs/first --steps 500 --lr 0.001
              microgpt train --repeat runs/first
    """
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    if earlier:
        if given - {"earlier", "path", "out"}:
            raise click.UsageError("--repeat takes everything else from the run", context)
        plan = read_plan(earlier, path if "path" in given else None)
    else:
        names = field_names(microgpt.ModelConfig)
        if start and given & set(names):
            raise click.UsageError("--from takes the sizes from the model", context)
        config = microgpt.ModelConfig(**{name: settings.pop(name) for name in names})
        plan = Plan(path, config, microgpt.TrainConfig(**settings), engine, dtype, start, threads)
    folder = out or runs.new_folder(plan.engine)
    if folder.exists():
        raise ValueError(f"{folder} exists already: name another with --out")
    interrupted = carry_out(plan, folder)
    console.print(
        ("interrupted: " if interrupted else "") + f"the run is in {folder}", markup=False
    )
    if interrupted:
        sys.exit(130)
    if earlier:
        report_repeat(earlier, folder)


def carry_out(plan: Plan, folder: Path) -> bool:
    """Do a run and record it in `folder`; return whether Ctrl-C ended it."""
    model, docs = plan.prepare()
    steps = min(plan.train.steps, plan.train.stop_after or plan.train.steps)
    interrupted = False
    with threadpool_limits(plan.threads), runs.Run(folder, plan.about(model, docs)) as run:
        records = microgpt.train(model, docs, plan.train)
        try:
            for record in show_progress(records, steps):
                run.log({k: v for k, v in dataclasses.asdict(record).items() if v is not None})
        except KeyboardInterrupt:
            interrupted = True
        model.save(folder / "model")
        remark = run.close()
    if remark:
        console.print(remark, markup=False)
    return interrupted


def report_repeat(earlier: Path, folder: Path) -> None:
    """Say what differs between a run and its repetition; exit with 1 if anything does."""
    lines = differences(earlier, folder)
    for line in lines:
        console.print(f"different: {line}", markup=False)
    if lines:
        sys.exit(1)
    steps = len(runs.read_log(folder))
    console.print(f"equal to {earlier} to the last bit: {steps:,} losses, and the weights")


@cli.command()
@click.argument("folder", type=PATH)
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
@click.argument("folder", type=PATH)
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


for command in (cli_lab.ablate, cli_lab.bench, cli_lab.plot, cli_lab.show):
    cli.add_command(command)
