"""Train a board's recorded run again on this computer, and compare the losses.

Seed, settings, sizes and list of names fix the run: weights and draws come from the board's
generator, the arithmetic from the tensor engine in float64.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from microgpt.board import SIZES, initial_weights
from microgpt.cli.options import PATH
from microgpt.config import ModelConfig, from_json
from microgpt.engines import build, check_memory
from microgpt.errors import ConfigError
from microgpt.memory import Work
from microgpt.plots.figures import NO_MATPLOTLIB, new_figure, save
from microgpt.runs import info, log
from microgpt.tokenizer import Tokenizer
from ugpt.app import SETTINGS
from ugpt.dataset import ALIGNMENT, MAX_RECORD_SIZE, Dataset
from ugpt.layout import parameter_count
from ugpt.rng import Rng
from ugpt.tokenizer import BOS

from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source, names_options

FIRST = 100  # steps whose losses are compared one by one
LOSS_TOLERANCE = 0.005
LAST = 100  # steps whose mean loss is compared
MEAN_TOLERANCE = 0.02
PICTURE = "replay.png"
MIXED_SINCE = (0, 2)  # the version since which a seed is mixed, and gives other random numbers


@dataclass(frozen=True)
class Recorded:
    """A board's run as its log has it; `means` is {(first, last step): mean loss}.

    `vocab_size` is the number of tokens: BOS and the characters of the documents.
    """

    model: ModelConfig
    vocab_size: int
    seed: int
    steps: int
    lr: float
    documents: int
    losses: dict[int, float]
    means: dict[tuple[int, int], float]


def read_run(folder: Path) -> Recorded:
    """Return the run that the monitor recorded in `folder`.

    Raises ToolError if it is not one, if its seed and settings do not fix it, or if its model is
    too large for this machine.
    """
    about = info.read(folder)
    records = log.read(folder)
    seed, steps, documents = (about.seed or 0, about.steps or 0, about.documents or 0)
    known = 0 < seed <= SETTINGS["seed"][2] and 0 < steps <= SETTINGS["steps"][2]
    known = known and documents > 0
    if about.board is None or not known:
        raise ToolError(
            f"{folder} is not the record of a board's whole run (board, seed, steps or list "
            "unknown): record one with make monitor"
        )
    model, vocab_size = _model(folder, about)
    logged = [r for r in records if isinstance(r, log.Step) and r.step < steps and r.lr is not None]
    if not logged:
        raise ToolError(f"{folder} has no step: let the board train while the monitor records")
    remarks = " ".join(record.text for record in records if isinstance(record, log.Remark))
    reason = _not_repeatable(log.text(about.content.get("firmware")) or "", remarks)
    if reason:
        raise ToolError(f"{folder} {reason}")
    resumed = re.search(r"resumed at step (\d+)", remarks)
    # The rate of step s is lr * (1 - s / steps), to 5 decimals: the first is the least rounded.
    lr = round((logged[0].lr or 0) / (1 - logged[0].step / steps), 5)
    losses = {record.step: _number(record.loss) for record in logged}
    means = _means(logged, steps, int(resumed[1]) if resumed else None)
    return Recorded(model, vocab_size, seed, steps, lr, documents, losses, means)


def _model(folder: Path, about: info.RunInfo) -> tuple[ModelConfig, int]:
    """Return a recorded model's sizes and its number of tokens; an old record has the default's."""
    vocab_size = log.whole(info.part(about.content, "data").get("vocab_size", SIZES.vocab_size))
    try:
        model = from_json(ModelConfig, about.content.get("model", {}))
        if not vocab_size or vocab_size < 1:
            raise ConfigError("its vocab_size is not a whole number from 1 on")
        if model.block_size > MAX_RECORD_SIZE:
            raise ConfigError(f"its block_size {model.block_size} is above {MAX_RECORD_SIZE}")
        count = parameter_count(model.sizes(vocab_size))
        if about.parameters != count:
            raise ConfigError(f"its sizes give {count} parameters, not {about.parameters}")
        check_memory(Work(model, vocab_size, "tensor", "float64", lengths=(model.block_size,)))
    except ConfigError as error:
        raise ToolError(f"{folder} is not the record of a board's run: {error}") from None
    return model, vocab_size


def _not_repeatable(firmware: str, remarks: str) -> str:
    """Return why a run of that version and with these remarks cannot be trained again, or ""."""
    version = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", firmware)
    if version and (int(version[1]), int(version[2])) < MIXED_SINCE:
        return (
            f"is a run of version {firmware}, whose seeds gave other numbers: deploy this version "
            "and record it again"
        )
    if "begun by version 0.1.0" in remarks:
        return "was begun by version 0.1.0, whose seeds gave other numbers: record a new run"
    if "with pushed weights" in remarks:
        return "began with pushed weights, so its seed does not fix it"
    if "extended" in remarks:  # from a checkpoint, or at the prompt in the middle of the log
        return "was extended to more steps, so its steps do not fix its learning rate"
    return ""


def _means(
    logged: list[log.Step], steps: int, resumed_at: int | None
) -> dict[tuple[int, int], float]:
    """Return {(first, last step): mean loss} of the lines whose first step is known."""
    # A board logs every log_every-th step and the last; the monitor may have missed a line.
    log_every = math.gcd(*(r.step for r in logged if r.step + 1 < steps)) or steps
    means = {}
    for record in logged:
        first = max(0, (record.step - 1) // log_every * log_every + 1, resumed_at or 0)
        began_here = record.step == logged[0].step and record.step > 0
        if resumed_at is not None or not began_here:
            means[first, record.step] = _number(record.mean)
    return means


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def replay(recorded: Recorded, names: Source, lr: float) -> list[float]:
    """Return the loss of each step on the host; raise ToolError for another list of names."""
    if not names.block_size:  # the list was written for the model; a record is never smaller
        block_size = max(ALIGNMENT, recorded.model.block_size)
        names = dataclasses.replace(names, block_size=block_size)
    packed = names_bin.read(names)
    tokens = len(packed.charset) + 1
    for found, of_board, what in (
        (packed.documents, recorded.documents, "documents"),
        (tokens, recorded.vocab_size, "tokens"),
    ):
        if found != of_board:
            raise ToolError(
                f"{names.path} has {found} {what}, the board's list {of_board}: name the board's "
                "with NAMES=, and FOLD=, CUT=, MAX_CHARACTERS= and BLOCK_SIZE= as it was written"
            )
    dataset = Dataset(names_bin.InMemory(str(names.path), packed.data))
    return list(_losses(recorded, dataset, Tokenizer(packed.charset, BOS), lr))


def _losses(
    recorded: Recorded, dataset: Dataset, tokenizer: Tokenizer, lr: float
) -> Iterator[float]:
    rng = Rng(recorded.seed)
    weights = initial_weights(rng, recorded.model.sizes(tokenizer.vocab_size))
    model = build(recorded.model, tokenizer, weights, "tensor", "float64")
    tokens = bytearray(model.config.block_size + 1)
    for step in range(max(recorded.losses) + 1):
        count = dataset.read_into(rng.below(dataset.count), tokens)
        yield model.train_step(list(tokens[:count]), step, lr * (1 - step / recorded.steps))


@dataclass(frozen=True)
class Comparison:
    """Whether board and host agree in one respect, and a line about it."""

    agree: bool
    text: str

    def __str__(self) -> str:
        return f"{'PASS' if self.agree else 'FAIL'} {self.text}"


def compare(recorded: Recorded, host: list[float]) -> list[Comparison]:
    """Compare single losses at the start, and the mean loss at the end, as far as they are logged.

    Raises ToolError if neither is.
    """
    found = (compare_first_losses(recorded, host), compare_last_mean(recorded, host))
    comparisons = [comparison for comparison in found if comparison]
    if not comparisons:
        raise ToolError("the record has nothing to compare: record a longer part, from the start")
    return comparisons


def compare_first_losses(recorded: Recorded, host: list[float]) -> Comparison | None:
    """Compare the losses of the first steps one by one; None if there are none."""
    differences = {
        step: abs(loss - host[step]) for step, loss in recorded.losses.items() if step < FIRST
    }
    if not differences:
        return None
    step = max(differences, key=lambda s: _nan_as_infinite(differences[s]))
    return Comparison(
        differences[step] <= LOSS_TOLERANCE,
        f"{len(differences)} of the first {FIRST} steps: largest difference "
        f"{differences[step]:.4f} at step {step} (at most {LOSS_TOLERANCE})",
    )


def compare_last_mean(recorded: Recorded, host: list[float]) -> Comparison | None:
    """Compare the mean loss of the last steps; None if no mean of them is known."""
    end = max(recorded.losses) + 1
    windows = [(a, b) for a, b in recorded.means if a >= end - LAST]
    windows = windows or [(a, b) for a, b in recorded.means if b >= end - LAST]
    if not windows:
        return None
    count = sum(b - a + 1 for a, b in windows)
    board = sum(recorded.means[a, b] * (b - a + 1) for a, b in windows) / count
    ours = sum(sum(host[a : b + 1]) for a, b in windows) / count
    difference = abs(board - ours)
    return Comparison(
        difference <= MEAN_TOLERANCE,
        f"mean of the last {count} steps: board {board:.4f}, host {ours:.4f}, "
        f"difference {difference:.4f} (at most {MEAN_TOLERANCE})",
    )


def _nan_as_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value


def draw(recorded: Recorded, host: list[float], target: Path) -> bool:
    """Draw both curves of the mean loss; return False if there is no matplotlib to do it."""
    try:
        figure = new_figure(8, 6)
    except ImportError:
        return False
    steps = [last for _, last in recorded.means]
    ours = [sum(host[a : b + 1]) / (b - a + 1) for a, b in recorded.means]
    losses, difference = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    losses.plot(steps, list(recorded.means.values()), label="board", linewidth=3, alpha=0.5)
    losses.plot(steps, ours, label="host", color="black", linewidth=1)
    losses.set(ylabel="mean loss since the line before (nats a token)")
    figure.legend(loc="outside upper right", ncols=2, frameon=False)  # beside the curves
    logged = list(recorded.losses)
    difference.semilogy(logged, [max(1e-6, abs(recorded.losses[s] - host[s])) for s in logged], ".")
    difference.axhline(LOSS_TOLERANCE, 0, 1, color="red", linewidth=0.8)
    difference.set(xlabel="step", ylabel="difference of a loss")
    for axes in (losses, difference):
        axes.grid(alpha=0.3)
    save(figure, target)
    return True


@click.command("replay")
@click.argument("run", type=PATH)
@names_options
@click.option("--lr", type=float, help="First learning rate [default: from the log].")
def replay_command(run: Path, names: Source, lr: float | None) -> int:
    """Train a recorded run again here and compare the losses.

    RUN is a folder that monitor or run recorded; both curves are drawn in its replay.png. Ends
    with 1 if the losses differ by more than rounding explains.

    Example: microgpt-board replay runs/2026-01-31-120000-esp32
    """
    recorded = read_run(run)
    if lr is not None and not 0 < lr < math.inf:
        raise ToolError(f"lr must be a number above 0, not {lr}")
    lr = lr or recorded.lr
    if not lr > 0:
        raise ToolError(f"{run}: its log rounds the learning rate to 0: give the board's lr, LR=")
    click.echo(
        f"{run}: seed {recorded.seed}, steps {min(recorded.losses)} to "
        f"{max(recorded.losses)} of {recorded.steps}, lr {lr}"
    )
    host = replay(recorded, names, lr)
    comparisons = compare(recorded, host)
    for comparison in comparisons:
        click.echo(comparison)
    if draw(recorded, host, run / PICTURE):
        click.echo(f"both curves are in {run / PICTURE}")
    else:
        click.echo(f"no {PICTURE} without matplotlib: {NO_MATPLOTLIB}")
    return 0 if all(comparison.agree for comparison in comparisons) else 1
