"""Run the firmware on the virtual board, real MicroPython on this computer, and show its run.

python -m tools.virtual --steps 1000 --seed 42
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from microgpt.runs import RUNS
from ugpt.app import SETTINGS

from tools import build, monitor
from tools.errors import ToolError, run
from tools.micropython import find_micropython
from tools.record import Recorder

FLASH = Path("build/virtual")
HEAP = "2M"  # 300k is enough; more means fewer collections


def run_board(flash: Path, settings: dict[str, int], heap: str = HEAP) -> Iterator[str]:
    """Yield the lines that the program in `flash` logs when run with these settings.

    Raises ToolError if MicroPython ends with an error.
    """
    (flash / "ugpt.json").write_text(json.dumps(settings))
    command = [find_micropython(), "-X", f"heapsize={heap}", "main.py"]
    process = subprocess.Popen(command, cwd=flash, stdout=subprocess.PIPE, text=True)
    try:
        yield from (line.rstrip("\n") for line in process.stdout)
        if process.wait():
            raise ToolError(f"the virtual board ended with code {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="virtual", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="training steps (1000)")
    parser.add_argument("--seed", type=int, default=42, help="0: from the hardware (42)")
    parser.add_argument("--names", type=Path, default=Path("data/names.txt"), help="documents")
    parser.add_argument("--flash", type=Path, default=FLASH, help=f"flash folder ({FLASH})")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder to record in ({RUNS})")
    arguments = parser.parse_args()
    for name in ("steps", "seed"):
        _, lowest, highest = SETTINGS[name]
        if not lowest <= getattr(arguments, name) <= highest:
            raise ToolError(f"{name} must be {lowest} to {highest}, not {getattr(arguments, name)}")
    build.build_virtual(arguments.flash, arguments.names)
    settings = {"steps": arguments.steps, "seed": arguments.seed}
    watch = monitor.Watch()
    monitor.show(run_board(arguments.flash, settings), watch, Recorder("virtual", arguments.runs))
    return 1 if watch.errors else 0


if __name__ == "__main__":
    run(main)
