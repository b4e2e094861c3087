"""Run the firmware on the virtual board; show and record its run."""

from dataclasses import replace
from pathlib import Path

import click
from microgpt.boards import Board, refusal
from microgpt.cli.options import PATH, tensorboard_option
from microgpt.data import NAMES
from ugpt.app import SETTINGS
from ugpt.checkpoint import Checkpoints
from ugpt.dataset import Dataset, DatasetError
from ugpt.layout import Sizes

from microgpt_board.device import monitor
from microgpt_board.device.monitor import runs_option
from microgpt_board.device.record import Recorder
from microgpt_board.emulation.micropython import FLASH, HEAP, build_virtual, run_board
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, names_bin
from microgpt_board.image.names_bin import InMemory, Source, names_options
from microgpt_board.image.sizes import Settings, settings_for, sizes_of, sizes_options


def _heap_for(model: Sizes, board: Board | None) -> str:
    """Return the heap of a virtual board with the memory of `board`, or of one with HEAP.

    Raises ToolError if it is too small for the model.
    """
    if board:
        boards.check(board, model)
        return str(boards.virtual_heap(board))
    reason = refusal("the virtual board", model, boards.VIRTUAL)
    if reason:
        raise ToolError(f"{reason}; BOARD={boards.LARGEST} gives it 8 MB")
    return HEAP


def _list_of(flash: Path, saved: dict[str, float]) -> bytes | None:
    """Return names.bin in `flash` if the run whose checkpoint has the header `saved` reads it."""
    try:
        data = (flash / "names.bin").read_bytes()
        dataset = Dataset(InMemory("names.bin", data))
        dataset.check()
    except (OSError, DatasetError):
        return None
    return data if dataset.crc == saved["data_crc"] else None


@click.command("run")
@click.option(
    "--steps", type=int, help="Training steps; more of them extend a run [default: 1000]."
)
@click.option("--seed", type=int, help="0: from the hardware [default: 42].")
@click.option("--lr", type=float, help="Learning rate of the first step [default: 0.01].")
@names_options
@sizes_options
@click.option(
    "--board",
    help=f"Have only the memory of {', '.join(boards.NAMES)} [default: 2 MB].",
)
@boards.psram_option
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the last checkpoint; steps, seed, lr, sizes and documents are its own.",
)
@click.option("--flash", type=PATH, default=FLASH, show_default=True, help="Folder of the flash.")
@runs_option
@tensorboard_option
def run_command(
    steps: int | None,
    seed: int | None,
    lr: float | None,
    names: Source,
    sizes: Settings,
    board: str | None,
    psram: int | None,
    resume: bool,
    flash: Path,
    runs: Path,
    tensorboard: Path | None,
) -> int:
    """Train on the virtual board, then generate 20 names.

    The virtual board is MicroPython on this computer, with the program of a real board.

    \b
    Examples: microgpt-board run --steps 1000 --seed 42
              microgpt-board run --n-layer 2 --n-embd 24 --n-head 3 --block-size 32
    """
    kind = boards.find(board or boards.DEFAULT, psram) if board or psram else None
    saved = Checkpoints(folder=f"{flash}/").header if resume else None
    settings: dict[str, float] = {}
    for name, value in {"steps": steps, "seed": seed, "lr": lr}.items():
        if value is None and saved:
            value = saved[name]
        if value is None:
            continue  # the board's own default
        _, lowest, highest = SETTINGS[name]
        if not lowest <= value <= highest:
            raise ToolError(f"{name} must be {lowest} to {highest}, not {value}")
        settings[name] = value
    settings |= settings_for(sizes, names)
    data = _list_of(flash, saved) if saved and names == Source(NAMES) else None
    if saved and names.block_size is None:  # the list was packed for it
        names = replace(names, block_size=saved["block_size"])
    packed = None
    if data is None:
        packed = names_bin.read(names)
        data = packed.data
    model = sizes_of(settings, data, saved)
    heap = _heap_for(model, kind)
    recorder = Recorder("virtual", runs, tensorboard)
    click.echo(build_virtual(flash, packed), err=True)
    watch = monitor.Watch()
    lines = run_board(flash, settings, heap, resume=resume)
    monitor.show(lines, watch, recorder)
    return 1 if watch.errors else 0
