"""The boards that we build for, by the name MicroPython gives its builds for them."""

from dataclasses import dataclass

from microgpt_board.errors import ToolError

DEFAULT = "ESP32_GENERIC"
FIRMWARE_URL = "https://micropython.org/resources/firmware/"


@dataclass(frozen=True)
class Board:
    """What differs between boards: `chip` in esptool's words, `architecture` in mpy-cross's."""

    name: str
    chip: str
    bootloader: int  # its offset in flash, in bytes
    architecture: str
    firmware: str  # the release that we take unless told otherwise
    sha256: str | None  # of that release; None: not known here, so never fetched

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
