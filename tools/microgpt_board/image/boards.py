"""The boards that images are built for, by MicroPython's names of its builds."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any

import click
from microgpt import boards
from microgpt.boards import BOARDS, PSRAM, Board, Memory
from microgpt.cli.options import PATH, Command
from ugpt import memory
from ugpt.layout import Sizes

from microgpt_board.errors import ToolError
from microgpt_board.image.compile import prebuilt_kernels

DEFAULT = "ESP32_GENERIC"
FIRMWARE_URL = "https://micropython.org/resources/firmware/"
# Bytes in the virtual board's heap: 57,000 of the program, and objects twice as large as a board's.
VIRTUAL_PROGRAM = 80_000
# Bytes of the program in a board's heap when it is about to make its model, rounded up. On an ESP32
# machine code has memory of its own: 45,805 to 46,736 on Espressif's emulated one with 1.24.0,
# and 208 more if a run is saved. Of the other ESP32s a C3 was measured, emulated with
# 1.25.0: 48,256. All others have it in the heap: some 55,600 on an emulated Pico 2 W with 1.25.0.
PROGRAM_ESP32 = 47_000
PROGRAM_ESP32_C3 = 48_500
PROGRAM = 58_000
LARGEST_PSRAM = {"esp32": 4}  # MB that a chip can address; others: all there are
DRIVES = {"rp2040": "RPI-RP2", "rp2350": "RP2350"}  # that a board is while BOOTSEL is held down
ERASER = "Raspberry Pi's flash_nuke.uf2"
NAMES = tuple(BOARDS)
LARGEST = max(NAMES, key=lambda name: BOARDS[name].memory.free)
MEANT = {  # what a person may call a board: the first of its chip, or of its title
    word.upper(): board.name
    for board in reversed(BOARDS.values())
    for word in (board.chip, board.title, board.name)
}
EMULATED = tuple(board.name for board in BOARDS.values() if board.chip == "esp32")  # by QEMU
WITH_IMAGE = tuple(board.name for board in BOARDS.values() if board.bootloader is not None)


def url(board: Board) -> str:
    """Return where MicroPython's release for a board is."""
    return FIRMWARE_URL + board.firmware


def find(name: str, psram: int | None = None, release: str | None = None) -> Board:
    """Return the board of that name, in any case, with what was chosen for it.

    `psram`: MB of PSRAM, if its module has other memory; `release`: a version of MicroPython, the
    only one that the result has then. Raises ToolError with what there is.
    """
    board = BOARDS.get(name.upper())
    if board is None:
        near = get_close_matches(name.upper(), MEANT, 1)
        raise ToolError(
            f"no board is called {name}: {f'did you mean {MEANT[near[0]]}? ' if near else ''}"
            f"BOARD= takes {', '.join(NAMES)}; on any other board with MicroPython, make deploy "
            "puts the program on it"
        )
    if psram is not None:
        board = _with_psram(board, psram)
    return board if release is None else _with_release(board, release)


def _with_psram(board: Board, megabytes: int) -> Board:
    if not board.psram:
        other = f"{board.name}-SPIRAM"
        does = f": BOARD={other} does" if other in BOARDS else ""
        raise ToolError(f"MicroPython's {board.name} does not use PSRAM{does}")
    usable = min(megabytes, LARGEST_PSRAM.get(board.chip, megabytes))
    return replace(board, memory=boards.with_psram(usable))


def _with_release(board: Board, version: str) -> Board:
    wanted = "v" + version.lower().removeprefix("v")  # 1.28.0 is v1.28.0 too
    found = tuple(each for each in board.releases if each.version == wanted)
    if not found:
        known = ", ".join(each.version for each in board.releases)
        raise ToolError(
            f"no release {version} of MicroPython is known for {board.name}: RELEASE= takes {known}"
            "; FIRMWARE= takes the file of any"
        )
    return replace(board, releases=found)


def bootloader(board: Board, verb: str | None = None) -> int:
    """Return the offset of a board's bootloader in its flash.

    Raises ToolError, which says what to do instead of `verb`, if esptool does not write the board,
    or if make emulate is asked for another than QEMU's ESP32.
    """
    if verb == "emulate" and board.name not in EMULATED:
        raise ToolError(
            f"make emulate takes {' or '.join(EMULATED)}, not {board.name}: make run "
            f"BOARD={board.name} trains on the virtual board with as much memory"
        )
    if board.bootloader is not None:
        return board.bootloader
    drive = f"the drive {DRIVES[board.chip]} that appears"
    if verb == "erase":
        raise ToolError(
            f"esptool does not erase a {board.title}: hold BOOTSEL while you plug it in, and copy "
            f"{ERASER} to {drive}; or remove the files alone: mpremote rm -r :/"
        )
    raise ToolError(
        f"a {board.title} has no image, since esptool does not write it: fetch {url(board)}, "
        f"hold BOOTSEL while you plug the board in, and copy the file to {drive}; then make "
        "deploy puts the program on it"
    )


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
        free -= PROGRAM_ESP32
    else:
        free -= PROGRAM_ESP32_C3 if pieces else PROGRAM
        kernels = prebuilt_kernels(architecture)
        if kernels:
            free -= memory.beyond_spare(kernels.stat().st_size)
    return Memory(max(0, free), min(piece, max(0, free)))


def virtual_heap(board: Board) -> int:
    """Return the heap, in bytes, that gives the virtual board as much free memory as `board`.

    MicroPython keeps 3 bytes of its own for each 256 of a heap with 64-bit pointers.
    """
    return (board.memory.free + VIRTUAL_PROGRAM) * 256 // 253


def _free_of(heap: int) -> Memory:
    """Return the memory that is free on a virtual board with a heap of so many bytes."""
    return boards.of_heap(heap * 253 // 256 - VIRTUAL_PROGRAM)


VIRTUAL_HEAP = 2 << 20  # bytes, without the memory of a board; 300k is enough for the default model
VIRTUAL = _free_of(VIRTUAL_HEAP)


def board_option(command: Command, names: Sequence[str] = WITH_IMAGE) -> Command:
    """Add the option board, whose help lists the boards of these `names`."""
    listed = f"The board: {', '.join(names)}."
    option = click.option("--board", default=DEFAULT, show_default=True, help=listed)
    result: Command = option(command)
    return result


psram_option = click.option(
    "--psram",
    type=click.Choice([str(megabytes) for megabytes in PSRAM]),
    callback=lambda _, __, value: value and int(value),
    help="MB of PSRAM on the board's module [default: as its build expects].",
)
release_option = click.option(
    "--release", help="The release of MicroPython, such as v1.28.0 [default: the board's]."
)
firmware_option = click.option(
    "--firmware",
    type=PATH,
    help="A file with a release of MicroPython [default: the board's, fetched once].",
)


def image_board_options(command: Command, names: Sequence[str] = WITH_IMAGE) -> Command:
    """Add the options board, psram, release and firmware; a Board and `firmware` arrive.

    `names` are those of the boards that the command takes. Raises ToolError for a board without
    an image, and if both release and firmware are given.
    """

    @wraps(command)
    def with_board(
        *words: object,
        board: str,
        psram: int | None,
        release: str | None,
        firmware: Path | None,
        **values: Any,
    ) -> object:
        if release and firmware:
            raise ToolError("FIRMWARE= names a file with a release: leave RELEASE= out")
        # Before the release: a board without an image takes none.
        bootloader(find(board, psram), click.get_current_context().info_name)
        return command(*words, board=find(board, psram, release), firmware=firmware, **values)

    return board_option(psram_option(release_option(firmware_option(with_board))), names)
