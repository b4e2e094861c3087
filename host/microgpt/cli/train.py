"""The commands that train: train, resume."""

import dataclasses
import functools
import sys
from pathlib import Path

import click

from microgpt import data
from microgpt.chat import conversations
from microgpt.cli.console import say, show_progress, warn
from microgpt.cli.options import (
    PATH,
    Command,
    data_option,
    dtype_option,
    engine_option,
    model_options,
    naming_options,
    new_path,
    option_word,
    tensorboard_option,
    train_options,
)
from microgpt.config import ModelConfig, TrainConfig, field_names
from microgpt.runs import checkpoint, log, repeat
from microgpt.runs.execute import Outcome, Resumed, execute
from microgpt.runs.plan import MOST_THREADS, Plan, PlanError, read_plan, resumed_plan
from microgpt.system import signals

out_option = click.option(
    "--out", type=PATH, callback=new_path, help="The run's folder [default: a new one under runs/]."
)


def _chat_defaults(context: click.Context, _: click.Parameter, chat: bool) -> bool:
    """Let the options that are not given have the defaults of a chat model, if `chat`."""
    if chat:
        context.default_map = {**(context.default_map or {}), **conversations.DEFAULTS}
    return chat


def _given() -> set[str]:
    """Return the names of the options that are given, also of those with their default value."""
    context = click.get_current_context()
    return {
        name
        for name in context.params
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


def _refuse_conflicts(command: Command) -> Command:
    """Refuse options that --repeat or --from leaves no room for, before any other check."""

    @functools.wraps(command)
    def checked(*args: object, **values: object) -> object:
        context = click.get_current_context()
        given = _given()
        if "earlier" in given and given - {"earlier", "path", "out", "tensorboard"}:
            raise click.UsageError("--repeat takes everything else from the run", context)
        if "start" in given and given & set(field_names(ModelConfig)):
            raise click.UsageError("--from takes the sizes from the model", context)
        return command(*args, **values)

    return checked


@click.command("train")
@_refuse_conflicts
@data_option
@click.option(
    "--chat",
    is_flag=True,
    is_eager=True,
    callback=_chat_defaults,
    help="Data are conversations, JSON Lines [default: the shipped ones]. Defaults are then "
    + ", ".join(
        option_word(name) if value is True else f"{option_word(name)} {value}"
        for name, value in conversations.DEFAULTS.items()
    )
    + ".",
)
@click.option(
    "--assistant-only/--no-assistant-only",
    default=False,
    show_default=True,
    help="Learn only the assistant's messages.",
)
@click.option("--strict", is_flag=True, help="Refuse conversations with a malformed line.")
@click.option(
    "--validation-data",
    type=PATH,
    help="Documents for the validation loss, in place of a share of the data "
    "[default with --chat and the shipped ones: other wordings of these].",
)
@train_options()
@engine_option
@dtype_option
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    default=Plan.threads,
    show_default=True,
    help="With 1, a run is repeatable to the last bit.",
)
@click.option("--checkpoint-every", type=int, help="Steps between checkpoints, for resume.")
@click.option("--from", "start", type=PATH, help="Start from this model; Adam starts anew.")
@out_option
@tensorboard_option
@click.option("--repeat", "earlier", type=PATH, help="Repeat this run and report differences.")
@model_options
def train_command(
    path: Path | None,
    chat: bool,
    assistant_only: bool,
    strict: bool,
    validation_data: Path | None,
    config: TrainConfig,
    engine: str,
    dtype: str,
    threads: int,
    checkpoint_every: int | None,
    start: Path | None,
    out: Path | None,
    tensorboard: Path | None,
    earlier: Path | None,
    model: ModelConfig,
) -> None:
    """Train a model from scratch, and leave a run's folder.

    \b
    Examples: microgpt train --steps 2000 --n-embd 32 --lr 0.003 --out runs/first
              microgpt train --chat --out runs/talk
              microgpt train --from runs/first --steps 500 --lr 0.001
              microgpt train --repeat runs/first
    """
    if earlier:
        plan = read_plan(earlier, path)
    else:
        if chat and not (path or validation_data or "validation" in _given()):
            validation_data = conversations.OTHER_WORDINGS
        plan = Plan(
            path or (conversations.CONVERSATIONS if chat else data.NAMES),
            model,
            config,
            engine,
            dtype,
            start,
            threads,
            chat,
            assistant_only,
            strict,
            checkpoint_every,
            validation_data,
        )
    outcome = _execute(plan, out, tensorboard)
    if earlier and outcome:
        _report_repeat(earlier, outcome.folder)


def _execute(
    plan: Plan, out: Path | None, tensorboard: Path | None, resumed: Resumed | None = None
) -> Outcome | None:
    """Execute a plan and print where the run is; exit if a signal ended it, as its program does."""
    with naming_options():
        outcome = execute(plan, out, warn, show_progress, resumed, tensorboard)
    if outcome is None:
        return None
    if outcome.learned:
        say(outcome.learned)
    if outcome.remark:
        say(outcome.remark)
    before = "interrupted: " if outcome.interruption else ""
    say(f"{before}the run is in {outcome.folder}")
    if outcome.interruption:
        sys.exit(signals.exit_code(outcome.interruption))
    return outcome


@click.command("resume")
@click.argument("run", type=PATH)
@out_option
@tensorboard_option
def resume_command(run: Path, out: Path | None, tensorboard: Path | None) -> None:
    """Continue a run from its checkpoint.

    Its result is the same as without the interruption. train --checkpoint-every makes checkpoints.

    Example: microgpt resume runs/first
    """
    plan, start = resumed_plan(run)
    model, config, step = checkpoint.load(run)
    plan = dataclasses.replace(plan, train=config)
    if step >= config.end:
        raise PlanError(f"{run} is complete at step {step}")
    _execute(plan, out, tensorboard, Resumed(run, model, step, start))


def _report_repeat(earlier: Path, folder: Path) -> None:
    """Print what differs between a run and its repetition; exit with 1 if anything does."""
    lines = repeat.compare(earlier, folder)
    for line in lines:
        say(f"different: {line}")
    if lines:
        sys.exit(1)
    steps = len(log.read_steps(folder))
    say(f"equal to {earlier} to the last bit: {steps:,} losses, and the weights")
