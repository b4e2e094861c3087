"""Time a training step: scalar and tensor on the host, both kernels on the virtual board.

python -m microgpt_board.proof.bench
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from microgpt_board.device import run as virtual
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import compile as build

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


def host_bench() -> dict:
    """Return what `microgpt bench --json` says of scalar and tensor."""
    command = [
        str(Path(sys.executable).with_name("microgpt")),
        "bench",
        "--no-chat-sized",
        "--json",
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise ToolError(f"microgpt bench ended with code {result.returncode}")
    return json.loads(result.stdout)


def board_us(names: Path) -> dict[str, float]:
    """Return the median microseconds of a step on the virtual board, with each of its kernels."""
    build.build_virtual(FLASH, names)
    command = [find_micropython(), "-X", f"heapsize={virtual.HEAP}", "-c", BOARD]
    runs: dict[str, list[float]] = {}
    for _ in range(BOARD_REPEATS):
        result = subprocess.run(command, cwd=FLASH, stdout=subprocess.PIPE, text=True)
        if result.returncode:
            raise ToolError(f"the virtual board ended with code {result.returncode}")
        for line in result.stdout.splitlines():
            name, figure = line.split()
            runs.setdefault(name, []).append(float(figure))
    return {name: statistics.median(figures) for name, figures in runs.items()}


def main() -> None:
    parser = parser_of("bench", __doc__)
    parser.add_argument("--names", type=Path, default=Path("data/names.txt"), help="documents")
    arguments = parser.parse_args()
    host = host_bench()
    us = {engine: figures["us_per_step"] for engine, figures in host["engines"].items()}
    board = board_us(arguments.names)
    us |= {f"virtual board, {name} kernels": figure for name, figure in board.items()}
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
    environment = host["environment"]
    console.print(
        f"4,192 parameters, one document a step, one thread, medians; {environment['processor']}",
        markup=False,
    )


if __name__ == "__main__":
    run(main)
