"""The boards that images are built for, by MicroPython's names of its builds."""

from dataclasses import dataclass

import click

from microgpt_board.errors import ToolError

DEFAULT = "ESP32_GENERIC"
FIRMWARE_URL = "https://micropython.org/resources/firmware/"


@dataclass(frozen=True)
class Board:
    """What differs between boards: `chip` as esptool names it, `architecture` as mpy-cross does."""

    name: str
    chip: str
    bootloader: int  # its offset in flash, in bytes
    architecture: str
    firmware: str  # the release of MicroPython that is the default
    sha256: str | None  # of that release; None: unknown, so it is never fetched

    @property
    def url(self) -> str:
        """Where MicroPython's release for this board is."""
        return FIRMWARE_URL + self.firmware


_BOARDS = (
    Board(
        name="ESP32_GENERIC",
        chip="esp32",
        bootloader=0x1000,
        architecture="xtensawin",
        firmware="ESP32_GENERIC-20241025-v1.24.0.bin",
        sha256="648e655fdaa8c31ece4e8f2a5c7815b015a7bca1c8db56246287799164ad9bff",
    ),
    Board(
        name="ESP32_GENERIC_S3",
        chip="esp32s3",
        bootloader=0x0,
        architecture="xtensawin",
        firmware="ESP32_GENERIC_S3-20241025-v1.24.0.bin",
        sha256=None,
    ),
)
NAMES = tuple(board.name for board in _BOARDS)


def find(name: str) -> Board:
    """Return the board of that name; raise ToolError with the names there are."""
    for board in _BOARDS:
        if board.name == name:
            return board
    raise ToolError(f"no board is called {name}: BOARD= takes {' or '.join(NAMES)}")


board_option = click.option(
    "--board", default=DEFAULT, show_default=True, help=f"{' or '.join(NAMES)}."
)
