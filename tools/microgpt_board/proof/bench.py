"""Time a training step: the engines of the host, both backends on the virtual board.

On the virtual board a larger model too, as a board with 8 MB of PSRAM can hold it.
"""

import json
import statistics
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import click
from microgpt.system import files
from rich.console import Console
from rich.table import Table

from microgpt_board.emulation.micropython import HEAP, build_virtual, find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source, names_options

FLASH = Path("build/bench")
BOARD_REPEATS = 5
LARGE = {"n_embd": 48, "n_layer": 4, "block_size": 64}
LARGE_FLASH = Path("build/bench-large")
LARGE_HEAP = "8M"
# {kernels: steps that are timed}
STEPS = {"portable": 101, "native": 101}
LARGE_STEPS = {"portable": 3, "native": 21}
BOARD = """
import gc
from ugpt import backend, board, ops
from ugpt.dataset import Dataset
from ugpt.layout import Sizes
from ugpt.model import Model
from ugpt.training import Training

dataset = Dataset(board.open_names())
sizes = Sizes(dataset.tokenizer.vocab_size, **{sizes})
chosen, reason = backend.choose()
for kernels in (ops, chosen) if chosen is not ops else (ops,):
    training = Training(dataset, model=Model(sizes, kernels))
    board.collect_every(-1)  # as in a run
    times = []
    for _ in range({steps}[kernels.NAME]):
        start = board.ticks_us()
        training.run_step()
        times.append(board.elapsed_us(start))
    print(kernels.NAME, sorted(times)[len(times) // 2], len(training.model.params))
    training = None
    gc.collect()
"""


@dataclass(frozen=True)
class HostBench:
    """What `microgpt bench` measured: microseconds a step of each engine, and the processor."""

    us: dict[str, float]
    processor: str


def host_bench() -> HostBench:
    """Return what `microgpt bench --json` says of a step in each engine; raise ToolError."""
    command = [sys.executable, "-m", "microgpt", "bench", "--no-chat-sized", "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise ToolError(f"microgpt bench ended with code {result.returncode}")
    found = json.loads(result.stdout)
    us = {engine: float(figures["us_per_step"]) for engine, figures in found["engines"].items()}
    return HostBench(us, found["environment"]["processor"])


@dataclass(frozen=True)
class BoardBench:
    """Median microseconds of a step of each backend, and the number of parameters."""

    us: dict[str, float]
    parameters: int


def board_bench(
    flash: Path, heap: str, sizes: dict[str, int], steps: dict[str, int], repeats: int
) -> BoardBench:
    """Time `steps` steps of a model of these sizes on the virtual board in `flash`."""
    code = BOARD.format(sizes=sizes, steps=steps)
    command = [find_micropython(), "-X", f"heapsize={heap}", "-c", code]
    runs: dict[str, list[float]] = {}
    parameters = "0"
    for _ in range(repeats):
        result = subprocess.run(command, cwd=flash, stdout=subprocess.PIPE, text=True)
        if result.returncode:
            raise ToolError(f"the virtual board ended with code {result.returncode}")
        for line in result.stdout.splitlines():
            name, figure, parameters = line.split()
            runs.setdefault(name, []).append(float(figure))
    us = {name: statistics.median(figures) for name, figures in runs.items()}
    return BoardBench(us, int(parameters))


def write_lines(names: Path, target: Path, longest: int) -> None:
    """Write the documents of `names` as lines of up to `longest` characters, spaces between them.

    The larger model's block is then full, as with a text of lines.
    """
    words = " ".join(names_bin.read_lines(names))
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write(target, "\n".join(textwrap.wrap(words, longest)))


def _short(us: float) -> str:
    """Return microseconds without decimals, or with one where they are few."""
    return f"{us:,.0f}" if us >= 10 else f"{us:.1f}"


@click.command("bench")
@names_options
def bench_command(names: Source) -> None:
    """Time a training step: engines, virtual board.

    Example: microgpt-board bench
    """
    # First, because a bad list of names ends the command.
    build_virtual(FLASH, names_bin.read(names))
    host = host_bench()
    board = board_bench(FLASH, HEAP, {}, STEPS, BOARD_REPEATS)
    us = {f"engine {name}": figure for name, figure in host.us.items()}
    us |= {f"virtual board, {name} kernels": figure for name, figure in board.us.items()}
    table = Table(box=None)
    table.add_column("a step of training")
    table.add_column("µs", justify="right")
    table.add_column("times as fast as scalar", justify="right")
    for name, figure in us.items():
        table.add_row(name, _short(figure), f"{us['engine scalar'] / figure:,.1f}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if "native" in board.us:
        ratio = board.us["portable"] / board.us["native"]
        console.print(f"the native kernels are {ratio:,.0f} times as fast as the portable ones")
    console.print(
        f"{board.parameters:,} parameters, one document a step, one thread, medians; "
        f"{host.processor}",
        markup=False,
    )
    lines = LARGE_FLASH / "lines.txt"
    write_lines(names.path, lines, LARGE["block_size"] - 1)
    build_virtual(LARGE_FLASH, names_bin.read(Source(lines, block_size=LARGE["block_size"])))
    large = board_bench(LARGE_FLASH, LARGE_HEAP, LARGE, LARGE_STEPS, 1)
    table = Table(box=None)
    table.add_column(f"a step of {large.parameters:,} parameters")
    table.add_column("µs", justify="right")
    for name, figure in large.us.items():
        table.add_row(f"virtual board, {name} kernels", f"{figure:,.0f}")
    console.print(table)
