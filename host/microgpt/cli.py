"""The command `microgpt`: train, generate, info, gradcheck; `cli_lab` and `cli_chat` have more."""

import dataclasses
import json
import os
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.table import Table
from threadpoolctl import threadpool_limits

import microgpt
from microgpt import cli_chat, cli_lab, conversations, data, runs
from microgpt.config import DECAYS, ORDERS, field_names
from microgpt.model import DTYPES, ENGINES, Model
from microgpt.plan import Plan, differences, read_plan
from microgpt.terminal import PATH, console, model_options, show_progress
from microgpt.training import TrainingError


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


def _new(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Refuse a folder that is there, before anything is computed and in every process."""
    if folder and folder.exists():
        raise ValueError(f"{folder} exists already: name another with --out")
    return folder


out_option = click.option(
    "--out", type=PATH, callback=_new, help="The run's folder [default: a new one under runs/]."
)


@cli.command()
@click.option("--data", "path", type=PATH, help="Documents, one a line [default: the names].")
@click.option("--chat", is_flag=True, help="Data are conversations, JSON Lines [default: ours].")
@click.option("--assistant-only", is_flag=True, help="Learn what the assistant says, no more.")
@click.option("--strict", is_flag=True, help="Refuse conversations with a malformed line.")
@click.option("--steps", default=1000, show_default=True, help="Steps.")
@click.option("--stop-after", type=int, help="End after so many of the steps.")
@click.option("--batch", default=1, show_default=True, help="Documents a step.")
@click.option("--accumulate", default=1, show_default=True, help="Batches a step, one at a time.")
@click.option("--lr", default=0.01, show_default=True, help="Learning rate of the first step.")
@click.option("--decay", type=click.Choice(DECAYS), default="linear", show_default=True)
@click.option("--seed", default=42, show_default=True, help="Fixes weights and order.")
@click.option("--order", type=click.Choice(ORDERS), default="shuffled", show_default=True)
@click.option("--holdout", default=0.0, show_default=True, help="Share kept out of training.")
@click.option("--engine", type=click.Choice(ENGINES), default="tensor", show_default=True)
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="1 repeats.")
@click.option("--checkpoint-every", type=int, help="Steps; engine torch, see resume.")
@click.option("--from", "start", type=PATH, help="Go on from this model; Adam begins anew.")
@out_option
@click.option("--repeat", "earlier", type=PATH, help="Do this run again; report differences.")
@model_options
@click.pass_context
def train(
    context: click.Context,
    path: Path | None,
    chat: bool,
    assistant_only: bool,
    strict: bool,
    engine: str,
    dtype: str,
    threads: int,
    checkpoint_every: int | None,
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
        plan = Plan(
            path or (conversations.CONVERSATIONS if chat else data.NAMES),
            config,
            microgpt.TrainConfig(**settings),
            engine,
            dtype,
            start,
            threads,
            chat=chat,
            assistant_only=assistant_only,
            strict=strict,
            checkpoint_every=checkpoint_every,
        )
    folder = out or runs.new_folder(plan.engine)
    carry_out(plan, folder)
    if earlier:
        report_repeat(earlier, folder)


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on: its folder, the model with the state of its optimizer, the next step."""

    run: Path
    model: Model
    step: int


def carry_out(plan: Plan, folder: Path, resumed: Resumed | None = None) -> None:
    """Do a run, record it in `folder` and say where it is; exit with 130 if Ctrl-C ended it.

    Whatever ends it, the folder has the picture; and a model, but none that a loss which is no
    number has spoilt: then that of the last checkpoint before. Of processes that train together,
    only the one of rank 0 records and speaks.
    """
    if plan.checkpoint_every:
        cli_lab.require("torch", "torch", "safetensors")
        from microgpt import torch_checkpoint

    def report(text: str) -> None:
        if os.environ.get("RANK", "0") == "0":  # torchrun's
            click.echo(text, err=True)

    first = resumed.step if resumed else 0
    model, docs = plan.prepare(report, resumed.model if resumed else None)
    about = plan.about(model, docs)
    earlier = []  # records of steps that need not be done again
    if resumed:
        about["resumed"] = {"run": str(resumed.run), "step": first}
        earlier = runs.read_log(resumed.run)[:first]
    records = microgpt.train(model, docs, plan.train, first)
    with threadpool_limits(plan.threads):
        if model.rank > 0:
            with suppress(TrainingError):  # rank 0 has the same; torchrun ends it if another fails
                deque(records, maxlen=0)
            return
        interrupted = False
        error = None
        saved, done = 0, first  # steps
        with runs.Run(folder, about) as run:
            for record in earlier:
                run.log(record)
            try:
                for record in show_progress(records, plan.train.end, first):
                    run.log({k: v for k, v in dataclasses.asdict(record).items() if v is not None})
                    done = record.step + 1
                    if plan.checkpoint_every and done % plan.checkpoint_every == 0:
                        torch_checkpoint.save(folder, model, plan.train, done)
                        saved = done
            except KeyboardInterrupt:
                interrupted = True
            except (TrainingError, MemoryError) as ended:
                error = ended
            whole = not isinstance(error, TrainingError)
            if not whole and 0 < saved < done:  # one more loss was a number
                torch_checkpoint.restore(folder, model)
                whole = True
            if whole:
                model.save(folder / "model")
            remark = run.close()
    if remark:
        console.print(remark, markup=False)
    if error:
        raise TrainingError(f"{error}; the run so far is in {folder}")
    console.print(
        ("interrupted: " if interrupted else "") + f"the run is in {folder}", markup=False
    )
    if interrupted:
        sys.exit(130)


@cli.command()
@click.argument("run", type=PATH)
@out_option
def resume(run: Path, out: Path | None) -> None:
    """Go on with a run of engine torch from its checkpoint.

    It ends exactly as if it had not been interrupted; --checkpoint-every makes the checkpoints.

    Example: microgpt resume runs/first
    """
    cli_lab.require("torch", "torch", "safetensors")
    from microgpt import torch_checkpoint

    model, config, step = torch_checkpoint.load(run)
    plan = dataclasses.replace(read_plan(run), train=config)
    if step >= config.end:
        raise ValueError(f"{run} is complete at step {step}")
    carry_out(plan, out or runs.new_folder(plan.engine), Resumed(run, model, step))


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
@click.option("--prompt", default="", help="What each document begins with.")
@click.option("--engine", type=click.Choice(ENGINES), default="tensor", show_default=True)
def generate(
    folder: Path, num_samples: int, temperature: float, seed: int, prompt: str, engine: str
) -> None:
    """Make up documents with a model.

    Example: microgpt generate runs/first --temperature 0.8
    """
    model = microgpt.load(folder, engine=engine)
    for text in microgpt.generate(model, num_samples, temperature, seed, prompt):
        click.echo(text)


cli.add_command(generate, "sample")


@cli.command()
@click.argument("folder", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def info(folder: Path, as_json: bool) -> None:
    """Say what a model is: sizes, memory, whether a board takes it.

    Example: microgpt info runs/first --json
    """
    from microgpt.info import BOARD_BYTES, about

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


COMMANDS = (
    cli_lab.ablate,
    cli_lab.bench,
    cli_lab.plot,
    cli_lab.show,
    cli_chat.chat,
    cli_chat.serve,
)
for command in COMMANDS:
    cli.add_command(command)
