"""Models to push, and checkpoints as a board's flash has them."""

from pathlib import Path

import microgpt
from microgpt_board.device import transfer
from microgpt_board.device.transfer import Saved
from ugpt import checkpoint
from ugpt.checkpoint import SCRATCH

SETTINGS = {"steps": 12, "seed": 5}


def model(**sizes: int | bool) -> microgpt.Model:
    return microgpt.create(microgpt.ModelConfig(**sizes), seed=3)


def saved(file: Path) -> Saved:
    """Return the checkpoint in a file."""
    with file.open("rb") as opened:
        header = checkpoint.read_header(opened, file.name)
    data = file.read_bytes()
    count = (len(data) - 68) // 12
    return Saved(file.name, header, len(data), True, data[64 : 64 + 4 * count])


def assert_clean(flash: Path) -> None:
    """Nothing is left of a transfer that failed."""
    assert not (flash / SCRATCH).exists()
    assert not (flash / transfer.NEW_SETTINGS).exists()
