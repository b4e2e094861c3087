"""Time a training step: scalar and tensor on the host, the kernels on the virtual board.

python -m tools.bench
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools import build, log, virtual
from tools.errors import ToolError, run

FLASH = Path("build/bench")
BOARD_STEPS = 100
BOARD_REPEATS = 5


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


def board_us(names: Path) -> float:
    """Return the median microseconds of a step on the virtual board, portable kernels."""
    build.build_virtual(FLASH, names)
    medians = []
    for seed in range(1, BOARD_REPEATS + 1):
        settings = {"steps": BOARD_STEPS, "seed": seed}
        events = map(log.parse, virtual.run_board(FLASH, settings))
        medians.append(statistics.median(e.ms for e in events if isinstance(e, log.Step)))
    return statistics.median(medians) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=Path, default=Path("data/names.txt"), help="documents")
    arguments = parser.parse_args()
    host = host_bench()
    us = {engine: figures["us_per_step"] for engine, figures in host["engines"].items()}
    us["virtual board, portable kernels"] = board_us(arguments.names)
    table = Table(box=None)
    table.add_column("a step of training")
    table.add_column("µs", justify="right")
    table.add_column("times as fast as scalar", justify="right")
    for name, figure in us.items():
        table.add_row(name, f"{figure:,.0f}", f"{us['scalar'] / figure:,.1f}")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    environment = host["environment"]
    console.print(
        f"4,192 parameters, one document a step, one thread, medians; {environment['processor']}",
        markup=False,
    )


if __name__ == "__main__":
    run(main)
