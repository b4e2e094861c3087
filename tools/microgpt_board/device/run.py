"""Run the firmware on the virtual board, real MicroPython on this computer, and show its run.

python -m microgpt_board.device.run --steps 1000 --seed 42
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from microgpt.runs.folder import RUNS
from ugpt import checkpoint
from ugpt.app import SETTINGS
from ugpt.board import CTRL_C

from microgpt_board.device import monitor
from microgpt_board.device.record import Recorder
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import compile as build

FLASH = Path("build/virtual")
HEAP = "2M"  # 300k is enough; more means fewer collections


def run_board(
    flash: Path, settings: dict[str, int], heap: str = HEAP, resume: bool = False
) -> Iterator[str]:
    """Yield the lines that the program in `flash` logs when run with these settings.

    Checkpoints of earlier runs are removed first, unless it is to `resume`. Ctrl-C goes to the
    board, which saves and ends, and is raised then; a second one, or closing this generator, is
    the power. Raises ToolError if MicroPython ends with an error.
    """
    if not resume:
        checkpoint.remove(f"{flash}/")
    (flash / "ugpt.json").write_text(json.dumps(settings))
    command = [find_micropython(), "-X", f"heapsize={heap}", "main.py"]
    # A session of its own: the terminal's Ctrl-C is a key for the board, and not a signal.
    process = subprocess.Popen(
        command,
        cwd=flash,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        with suppress(BrokenPipeError):  # it has ended
            os.write(process.stdin.fileno(), bytes((CTRL_C,)))

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield from (line.rstrip("\n") for line in process.stdout)
        code = process.wait()
        if interrupted:
            raise KeyboardInterrupt
        if code:
            raise ToolError(f"the virtual board ended with code {code}")
    finally:
        signal.signal(signal.SIGINT, before)
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def main() -> int:
    parser = parser_of("virtual", __doc__)
    parser.add_argument("--steps", type=int, default=1000, help="training steps (1000)")
    parser.add_argument("--seed", type=int, default=42, help="0: from the hardware (42)")
    parser.add_argument("--names", type=Path, default=Path("data/names.txt"), help="documents")
    parser.add_argument("--flash", type=Path, default=FLASH, help=f"flash folder ({FLASH})")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"folder to record in ({RUNS})")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    arguments = parser.parse_args()
    for name in ("steps", "seed"):
        _, lowest, highest = SETTINGS[name]
        if not lowest <= getattr(arguments, name) <= highest:
            raise ToolError(f"{name} must be {lowest} to {highest}, not {getattr(arguments, name)}")
    print(build.build_virtual(arguments.flash, arguments.names), file=sys.stderr)
    settings = {"steps": arguments.steps, "seed": arguments.seed}
    watch = monitor.Watch()
    lines = run_board(arguments.flash, settings, resume=arguments.resume)
    monitor.show(lines, watch, Recorder("virtual", arguments.runs))
    return 1 if watch.errors else 0


if __name__ == "__main__":
    run(main)
