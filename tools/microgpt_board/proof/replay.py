"""Train a board's recorded run again on this computer, and compare the losses.

python -m microgpt_board.proof.replay runs/2026-01-31-120000-board

Seed, settings and list of names fix the run: weights and draws come from the board's generator,
the arithmetic from the tensor engine in float64. Draws both curves in the run's replay.png.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microgpt.board import CONFIG, TOKENIZER, initial_weights
from microgpt.engines import build
from microgpt.runs import info, log
from ugpt.dataset import Dataset
from ugpt.rng import Rng

from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import names_bin

FIRST = 100  # steps whose losses are compared one by one
LOSS_TOLERANCE = 0.005
LAST = 100  # steps whose mean loss is compared
MEAN_TOLERANCE = 0.02
PICTURE = "replay.png"


@dataclass(frozen=True)
class Recorded:
    """What the board logged of its run; `means` is {(first, last step): mean loss}."""

    seed: int
    steps: int
    lr: float
    documents: int
    losses: dict[int, float]
    means: dict[tuple[int, int], float]
    pushed: bool


class _Bytes:
    """names.bin in memory, for `ugpt.dataset.Dataset`."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self._data = data

    def readinto(self, offset: int, buffer: bytearray) -> int:
        part = self._data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def read_run(folder: Path) -> Recorded:
    """Return the run that the monitor recorded in `folder`; raise ToolError if it is not one."""
    about = info.read(folder)
    records = log.read(folder)
    seed, steps, documents = (about.seed or 0, about.steps or 0, about.documents or 0)
    if not (0 < seed <= 0xFFFFFFFF and steps > 0 and documents > 0):
        raise ToolError(
            f"{folder} is not the record of a board's whole run (seed, steps or list unknown): "
            "record one with make monitor"
        )
    logged = [r for r in records if isinstance(r, log.Step) and r.step < steps and r.lr is not None]
    if not logged:
        raise ToolError(f"{folder} has no step: let the board train while the monitor records")
    remarks = " ".join(record.text for record in records if isinstance(record, log.Remark))
    resumed = re.search(r"resumed at step (\d+)", remarks)
    # The rate of step s is lr * (1 - s / steps), to 5 decimals: the first is the least rounded.
    lr = round((logged[0].lr or 0) / (1 - logged[0].step / steps), 5)
    losses = {record.step: _number(record.loss) for record in logged}
    means = _means(logged, steps, int(resumed[1]) if resumed else None)
    return Recorded(seed, steps, lr, documents, losses, means, "pushed weights" in remarks)


def _means(
    logged: list[log.Step], steps: int, resumed_at: int | None
) -> dict[tuple[int, int], float]:
    """Return {(first, last step): mean loss} of the lines whose first step is known."""
    # A board logs each so many steps and the last; the monitor may have missed a line.
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


def replay(recorded: Recorded, names: Path, lr: float) -> list[float]:
    """Return the loss of each step on the host; raise ToolError for another list of names."""
    data = names_bin.pack(names_bin.read_lines(names))[0]
    dataset = Dataset(_Bytes(str(names), data))
    if dataset.count != recorded.documents:
        raise ToolError(
            f"{names} has {dataset.count} documents, the board's list {recorded.documents}: "
            "name the board's with NAMES="
        )
    return list(_losses(recorded, dataset, lr))


def _losses(recorded: Recorded, dataset: Dataset, lr: float) -> Iterator[float]:
    rng = Rng(recorded.seed)
    model = build(CONFIG, TOKENIZER, initial_weights(rng), "tensor", "float64")
    tokens = bytearray(model.config.block_size + 1)
    for step in range(max(recorded.losses) + 1):
        count = dataset.read_into(rng.below(dataset.count), tokens)
        yield model.train_step(list(tokens[:count]), step, lr * (1 - step / recorded.steps))


def compare(recorded: Recorded, host: list[float]) -> tuple[bool, list[str]]:
    """Return whether board and host agree, and a line for each of the two comparisons."""
    differences = {
        step: abs(loss - host[step]) for step, loss in recorded.losses.items() if step < FIRST
    }
    lines, agree = [], True
    if differences:
        step = max(
            differences, key=lambda s: math.inf if math.isnan(differences[s]) else differences[s]
        )
        passed = differences[step] <= LOSS_TOLERANCE
        agree = passed
        lines.append(
            f"{_word(passed)} {len(differences)} of the first {FIRST} steps: largest difference "
            f"{differences[step]:.4f} at step {step} (at most {LOSS_TOLERANCE})"
        )
    end = max(recorded.losses) + 1
    windows = [(a, b) for a, b in recorded.means if a >= end - LAST]
    windows = windows or [(a, b) for a, b in recorded.means if b >= end - LAST]
    if not differences and not windows:
        raise ToolError("nothing in it can be compared: record a longer part, from its start")
    if windows:
        count = sum(b - a + 1 for a, b in windows)
        board = sum(recorded.means[a, b] * (b - a + 1) for a, b in windows) / count
        ours = sum(sum(host[a : b + 1]) for a, b in windows) / count
        passed = abs(board - ours) <= MEAN_TOLERANCE
        agree = agree and passed
        lines.append(
            f"{_word(passed)} mean of the last {count} steps: board {board:.4f}, host {ours:.4f}, "
            f"difference {abs(board - ours):.4f} (at most {MEAN_TOLERANCE})"
        )
    return agree, lines


def _word(passed: bool) -> str:
    return "PASS" if passed else "FAIL"


def draw(recorded: Recorded, host: list[float], target: Path) -> bool:
    """Draw both curves of the mean loss; return False if there is no matplotlib to do it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    steps = [last for _, last in recorded.means]
    ours = [sum(host[a : b + 1]) / (b - a + 1) for a, b in recorded.means]
    figure = Figure(figsize=(8, 6), layout="constrained")
    losses, difference = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    losses.plot(steps, list(recorded.means.values()), label="board", linewidth=3, alpha=0.5)
    losses.plot(steps, ours, label="host", color="black", linewidth=1)
    losses.set(ylabel="mean loss since the line before (nats a token)")
    losses.legend()
    logged = list(recorded.losses)
    difference.semilogy(logged, [max(1e-6, abs(recorded.losses[s] - host[s])) for s in logged], ".")
    difference.axhline(LOSS_TOLERANCE, 0, 1, color="red", linewidth=0.8)
    difference.set(xlabel="step", ylabel="difference of a loss")
    for axes in (losses, difference):
        axes.grid(alpha=0.3)
    FigureCanvasAgg(figure).print_png(str(target))
    return True


def main() -> int:
    parser = parser_of("replay", __doc__)
    parser.add_argument("run", type=Path, help="a folder that the monitor recorded")
    parser.add_argument("--names", type=Path, default=Path("data/names.txt"), help="documents")
    parser.add_argument("--lr", type=float, help="first learning rate (from the log)")
    arguments = parser.parse_args()
    recorded = read_run(arguments.run)
    if recorded.pushed:
        raise ToolError(f"{arguments.run} began with pushed weights, so its seed does not fix it")
    lr = arguments.lr or recorded.lr
    if not lr > 0:
        raise ToolError("the log rounds its learning rate to 0: give the board's lr, LR=")
    print(
        f"{arguments.run}: seed {recorded.seed}, steps {min(recorded.losses)} to "
        f"{max(recorded.losses)} of {recorded.steps}, lr {lr}"
    )
    host = replay(recorded, arguments.names, lr)
    agree, lines = compare(recorded, host)
    print("\n".join(lines))
    if draw(recorded, host, arguments.run / PICTURE):
        print(f"both curves are in {arguments.run / PICTURE}")
    else:
        print(f"no {PICTURE} without matplotlib: pip install matplotlib")
    return 0 if agree else 1


if __name__ == "__main__":
    run(main)
