"""The commands that train: train, resume."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

from microgpt import conversations, data
from microgpt.cli.console import console, show_progress
from microgpt.cli.options import (
    PATH,
    dtype_option,
    engine_option,
    model_config,
    model_options,
    require,
    train_options,
)
from microgpt.config import ModelConfig, TrainConfig, field_names
from microgpt.runs import log, repeat
from microgpt.runs.execute import Outcome, Resumed, execute, is_first_process
from microgpt.runs.folder import new_folder
from microgpt.runs.plan import Plan, PlanError, read_plan


def _new(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Refuse a folder that exists, before anything is computed and in every process."""
    if folder and folder.exists():
        raise PlanError(f"{folder} exists already: name another with --out")
    return folder


out_option = click.option(
    "--out", type=PATH, callback=_new, help="The run's folder [default: a new one under runs/]."
)


@click.command()
@click.option("--data", "path", type=PATH, help="Documents, one a line [default: the names].")
@click.option("--chat", is_flag=True, help="Data are conversations, JSON Lines [default: ours].")
@click.option("--assistant-only", is_flag=True, help="Learn only what the assistant says.")
@click.option("--strict", is_flag=True, help="Refuse conversations with a malformed line.")
@train_options()
@engine_option
@dtype_option
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="1 repeats.")
@click.option("--checkpoint-every", type=int, help="Steps; engine torch, see resume.")
@click.option("--from", "start", type=PATH, help="Start from this model; Adam begins anew.")
@out_option
@click.option("--repeat", "earlier", type=PATH, help="Do this run again; report differences.")
@model_options
@click.pass_context
def train(
    context: click.Context,
    path: Path | None,
    chat: bool,
    start: Path | None,
    out: Path | None,
    earlier: Path | None,
    **settings: Any,
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
        if start and given & set(field_names(ModelConfig)):
            raise click.UsageError("--from takes the sizes from the model", context)
        config = model_config(settings)
        training = TrainConfig(**{name: settings.pop(name) for name in field_names(TrainConfig)})
        documents = path or (conversations.CONVERSATIONS if chat else data.NAMES)
        plan = Plan(documents, config, training, start=start, chat=chat, **settings)
    folder = out or new_folder(plan.engine)
    _finish(_execute(plan, folder), folder)
    if earlier:
        _report_repeat(earlier, folder)


def _execute(plan: Plan, folder: Path, resumed: Resumed | None = None) -> Outcome | None:
    if plan.checkpoint_every:
        require("torch", "torch", "safetensors")
    return execute(plan, folder, lambda text: click.echo(text, err=True), show_progress, resumed)


def _finish(outcome: Outcome | None, folder: Path) -> None:
    """Say where the run is; exit with 130 if Ctrl-C ended it."""
    if outcome is None:
        return
    if outcome.remark:
        console.print(outcome.remark, markup=False)
    before = "interrupted: " if outcome.interrupted else ""
    console.print(f"{before}the run is in {folder}", markup=False)
    if outcome.interrupted:
        sys.exit(130)


@click.command()
@click.argument("run", type=PATH)
@out_option
def resume(run: Path, out: Path | None) -> None:
    """Continue a run of engine torch from its checkpoint.

    It ends exactly as if it had not been interrupted; --checkpoint-every makes the checkpoints.

    Example: microgpt resume runs/first
    """
    require("torch", "torch", "safetensors")
    from microgpt.engines import distributed
    from microgpt.runs import checkpoint

    distributed.join()
    model, config, step = checkpoint.load(run)
    plan = dataclasses.replace(read_plan(run), train=config)
    if step >= config.end:
        raise PlanError(f"{run} is complete at step {step}")
    folder = out or new_folder(plan.engine)
    _finish(_execute(plan, folder, Resumed(run, model, step)), folder)


def _report_repeat(earlier: Path, folder: Path) -> None:
    """Say what differs between a run and its repetition; exit with 1 if anything does."""
    if not is_first_process():
        return
    lines = repeat.compare(earlier, folder)
    for line in lines:
        console.print(f"different: {line}", markup=False)
    if lines:
        sys.exit(1)
    steps = len(log.read_steps(folder))
    console.print(f"equal to {earlier} to the last bit: {steps:,} losses, and the weights")
