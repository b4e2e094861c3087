"""Time a training step: engines scalar and tensor, both backends on the virtual board."""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from microgpt_board.emulation.micropython import HEAP, build_virtual, find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image.names_bin import Source, names_options

FLASH = Path("build/bench")
BOARD_REPEATS = 5
BOARD = """
from ugpt import backend, board, ops
from ugpt.dataset import Dataset
from ugpt.training import Training

chosen, reason = backend.choose()
for kernels in (ops, chosen) if chosen is not ops else (ops,):
    training = Training(Dataset(board.open_names()), kernels=kernels)
    times = []
    for _ in range(101):
        start = board.ticks_us()
        training.run_step()
        times.append(board.elapsed_us(start))
    print(kernels.NAME, sorted(times)[50])
"""


@dataclass(frozen=True)
class HostBench:
    """What `microgpt bench` measured: microseconds a step of each engine, and the processor."""

    us: dict[str, float]
    processor: str


def host_bench() -> HostBench:
    """Return what `microgpt bench --json` says of scalar and tensor; raise ToolError."""
    command = [sys.executable, "-m", "microgpt", "bench", "--no-chat-sized", "--json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise ToolError(f"microgpt bench ended with code {result.returncode}")
    found = json.loads(result.stdout)
    us = {engine: float(figures["us_per_step"]) for engine, figures in found["engines"].items()}
    return HostBench(us, found["environment"]["processor"])


def board_us() -> dict[str, float]:
    """Return {backend: median microseconds of a step} for the virtual board in FLASH."""
    command = [find_micropython(), "-X", f"heapsize={HEAP}", "-c", BOARD]
    runs: dict[str, list[float]] = {}
    for _ in range(BOARD_REPEATS):
        result = subprocess.run(command, cwd=FLASH, stdout=subprocess.PIPE, text=True)
        if result.returncode:
            raise ToolError(f"the virtual board ended with code {result.returncode}")
        for line in result.stdout.splitlines():
            name, figure = line.split()
            runs.setdefault(name, []).append(float(figure))
    return {name: statistics.median(figures) for name, figures in runs.items()}


@click.command("bench")
@names_options
def bench_command(names: Source) -> None:
    """Time a training step: scalar, tensor, virtual board.

    Example: microgpt-board bench
    """
    build_virtual(FLASH, names)  # first, because a bad list of names ends the command
    host = host_bench()
    board = board_us()
    us = host.us | {f"virtual board, {name} kernels": figure for name, figure in board.items()}
    table = Table(box=None)
    table.add_column("a step of training")
    table.add_column("µs", justify="right")
    table.add_column("times as fast as scalar", justify="right")
    for name, figure in us.items():
        table.add_row(name, f"{figure:,.0f}", f"{us['scalar'] / figure:,.1f}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if "native" in board:
        ratio = board["portable"] / board["native"]
        console.print(f"the native kernels are {ratio:,.0f} times as fast as the portable ones")
    console.print(
        f"4,192 parameters, one document a step, one thread, medians; {host.processor}",
        markup=False,
    )
