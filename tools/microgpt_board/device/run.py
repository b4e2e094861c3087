"""Run the firmware on the virtual board; show and record its run."""

from pathlib import Path

import click
from microgpt.cli.options import PATH
from ugpt.app import SETTINGS
from ugpt.checkpoint import Checkpoints

from microgpt_board.device import monitor
from microgpt_board.device.monitor import runs_option
from microgpt_board.device.record import Recorder
from microgpt_board.emulation.micropython import FLASH, build_virtual, run_board
from microgpt_board.errors import ToolError
from microgpt_board.image.names_bin import Source, names_options


@click.command("run")
@click.option(
    "--steps", type=int, help="Training steps; more of them extend a run [default: 1000]."
)
@click.option("--seed", type=int, help="0: from the hardware [default: 42].")
@names_options
@click.option(
    "--resume", is_flag=True, help="Go on from the last checkpoint; steps and seed are its own."
)
@click.option("--flash", type=PATH, default=FLASH, show_default=True, help="Folder of the flash.")
@runs_option
def run_command(
    steps: int | None, seed: int | None, names: Source, resume: bool, flash: Path, runs: Path
) -> int:
    """Train on the virtual board, then generate 20 names.

    The virtual board is MicroPython on this computer, with the program of a real board.

    Example: microgpt-board run --steps 1000 --seed 42
    """
    saved = Checkpoints(folder=f"{flash}/").header if resume else None
    settings = {"lr": saved["lr"]} if saved else {}
    for name, value in {"steps": steps, "seed": seed}.items():
        default, lowest, highest = SETTINGS[name]
        settings[name] = default if value is None else value
        if saved and value is None:
            settings[name] = saved[name]
        if not lowest <= settings[name] <= highest:
            raise ToolError(f"{name} must be {lowest} to {highest}, not {settings[name]}")
    click.echo(build_virtual(flash, names), err=True)
    watch = monitor.Watch()
    lines = run_board(flash, settings, resume=resume)
    monitor.show(lines, watch, Recorder("virtual", runs))
    return 1 if watch.errors else 0
