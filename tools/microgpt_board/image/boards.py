"""The boards that images are built for, by MicroPython's names of its builds."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import click
from microgpt import boards
from microgpt.boards import PSRAM, Memory
from ugpt import memory
from ugpt.board import kernels_file
from ugpt.layout import Sizes

from microgpt_board import resources
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy

DEFAULT = "ESP32_GENERIC"
FIRMWARE_URL = "https://micropython.org/resources/firmware/"
# Bytes in the virtual board's heap: 57,000 of the program, and objects twice as large as a board's.
VIRTUAL_PROGRAM = 80_000
# Bytes of the program in a board's heap when it is about to make its model: 47,424 on the emulated
# ESP32 with MicroPython 1.24.0, whose machine code has memory of its own; 57,024 on an emulated
# Pico 2 W with 1.25.0, whose has not; not measured on others, whose code is larger by 3,000 bytes.
PROGRAM = 48_000
PROGRAM_ARM = 58_000
PROGRAM_ELSEWHERE = 62_000
LARGEST_PSRAM = {"esp32": 4}  # MB that a chip can address; others: all there are


@dataclass(frozen=True)
class Board:
    """What differs between boards: `chip` as esptool names it, `architecture` as mpy-cross does."""

    name: str
    chip: str
    bootloader: int  # its offset in flash, in bytes
    architecture: str
    firmware: str  # the release of MicroPython that is the default
    sha256: str | None  # of that release; None: unknown, so it is never fetched
    memory: Memory

    @property
    def url(self) -> str:
        """Where MicroPython's release for this board is."""
        return FIRMWARE_URL + self.firmware


def _board(name: str, chip: str, bootloader: int, sha256: str | None = None) -> Board:
    firmware = f"{name}-20241025-v1.24.0.bin"
    return Board(name, chip, bootloader, "xtensawin", firmware, sha256, boards.MEMORY[name])


_BOARDS = (
    _board(
        "ESP32_GENERIC",
        "esp32",
        0x1000,
        "648e655fdaa8c31ece4e8f2a5c7815b015a7bca1c8db56246287799164ad9bff",
    ),
    _board("ESP32_GENERIC-SPIRAM", "esp32", 0x1000),
    _board("ESP32_GENERIC_S3", "esp32s3", 0x0),
    _board("ESP32_GENERIC_S3-SPIRAM_OCT", "esp32s3", 0x0),
)
NAMES = tuple(board.name for board in _BOARDS)


def find(name: str, psram: int | None = None) -> Board:
    """Return the board of that name, with `psram` MB of PSRAM if its module has other memory.

    Raises ToolError with the names there are.
    """
    for board in _BOARDS:
        if board.name == name:
            return board if psram is None else _with_psram(board, psram)
    raise ToolError(f"no board is called {name}: BOARD= takes {', '.join(NAMES)}")


def _with_psram(board: Board, megabytes: int) -> Board:
    if board.name == "ESP32_GENERIC":
        raise ToolError(
            "MicroPython's ESP32_GENERIC does not use PSRAM: BOARD=ESP32_GENERIC-SPIRAM does"
        )
    usable = min(megabytes, LARGEST_PSRAM.get(board.chip, megabytes))
    return dataclasses.replace(board, memory=boards.with_psram(usable))


def check(board: Board, sizes: Sizes) -> None:
    """Raise ToolError, with the nearest sizes that fit, if a model is too large for a board."""
    reason = boards.refusal(board.name, sizes, board.memory)
    if reason:
        raise ToolError(reason)


def memory_of(
    machine: str, architecture: str | None, heap: int, pieces: Sequence[int], wide: bool
) -> Memory:
    """Return the memory for training on a board with MicroPython, whose program is not loaded.

    `machine` is what it says it runs on, `architecture` that of its machine code, None if it loads
    none. `heap` has the bytes of its heap, `pieces` those by which it can grow, the largest first.
    `wide`: with objects of 64 bits.
    """
    free, piece = memory.usable(heap, pieces)
    if wide:
        free -= VIRTUAL_PROGRAM
    elif machine.endswith(" with ESP32"):
        free -= PROGRAM
    else:
        free -= PROGRAM_ARM if (architecture or "").startswith("armv") else PROGRAM_ELSEWHERE
        kernels = kernels_file(mpy.ARCHITECTURES.index(architecture))
        free -= resources.firmware(f"native/{kernels}").stat().st_size if kernels else 0
    return Memory(max(0, free), min(piece, max(0, free)))


def virtual_heap(board: Board) -> int:
    """Return the heap, in bytes, that gives the virtual board as much free memory as `board`.

    MicroPython keeps 3 bytes of its own for each 256 of a heap with 64-bit pointers.
    """
    return (board.memory.free + VIRTUAL_PROGRAM) * 256 // 253


def _free_of(heap: int) -> Memory:
    """Return the memory that is free on a virtual board with a heap of so many bytes."""
    free = heap * 253 // 256 - VIRTUAL_PROGRAM
    return Memory(free, free)


VIRTUAL_HEAP = 2 << 20  # bytes, without the memory of a board; 300k is enough for the default model
VIRTUAL = _free_of(VIRTUAL_HEAP)

board_option = click.option(
    "--board", default=DEFAULT, show_default=True, help=f"{', '.join(NAMES)}."
)
psram_option = click.option(
    "--psram",
    type=click.Choice([str(megabytes) for megabytes in PSRAM]),
    callback=lambda _, __, value: value and int(value),
    help="MB of PSRAM on the board's module [default: as its build expects].",
)
