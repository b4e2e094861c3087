"""Build the image: all of a board's flash in one file, to be written at 0x0.

It has MicroPython's released bootloader and app, our partition table, the documents, and a LittleFS
with the program. The same inputs give the same bytes.
"""

import json
import os
import re
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import click
from esptool.bin_image import LoadFirmwareImage
from esptool.util import FatalError
from littlefs import LittleFS, LittleFSError
from microgpt.boards import Board
from microgpt.cli.options import Command
from microgpt.system import files
from ugpt.layout import Sizes

from microgpt_board.errors import ToolError
from microgpt_board.image import boards, manifest, names_bin, partitions
from microgpt_board.image import compile as build
from microgpt_board.image.download import download
from microgpt_board.image.names_bin import Source, names_options
from microgpt_board.image.sizes import (
    Settings,
    settings_for,
    sizes_of,
    sizes_options,
    too_few_for_checkpoints,
    write_settings,
)

BUILD = Path("build")
OLDEST_MICROPYTHON = (1, 23)  # the first that loads our .mpy files
OLDEST_RISC_V = (1, 24)  # the first that loads those with machine code on a C3 or C6
BLANK = b"\xff"
APP = "factory"
FLASH_SIZE = 3  # the byte of an ESP image whose upper half is the power of two of its flash, in MB


class _LittleFsSizes(TypedDict):
    block_size: int
    read_size: int
    prog_size: int
    cache_size: int
    lookahead_size: int
    disk_version: int


# MicroPython's own, in extmod/vfs_lfs.c and ports/esp32: it mounts no file system of other sizes.
LITTLEFS: _LittleFsSizes = {
    "block_size": 4096,
    "read_size": 32,
    "prog_size": 32,
    "cache_size": 128,
    "lookahead_size": 32,
    "disk_version": 0x00020000,  # what every MicroPython mounts
}


def cache_folder() -> Path:
    """Return the folder of downloaded files; `make clean` keeps it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microgpt-esp32"


def find_firmware(board: Board, given: Path | None) -> Path:
    """Return the file with MicroPython for `board`: the one given, else the release, fetched once.

    Raises ToolError if there is none; it says what to fetch and where to put it.
    """
    if given:
        if not given.is_file():
            raise ToolError(f"FIRMWARE={given} is not a file")
        return given
    url, release = boards.url(board), board.release
    if not release.sha256:
        raise ToolError(
            f"the checksum of MicroPython {release.version} for {board.name} is not known here: "
            f"fetch {url} yourself, then make flash BOARD={board.name} FIRMWARE={board.firmware}"
        )
    target = cache_folder() / board.firmware
    if download(url, target, release.sha256):
        print(f"fetched {url}", file=sys.stderr)
    return target


def check_firmware(path: Path, board: Board, app_offset: int) -> tuple[bytes, bytes]:
    """Return bootloader and app of a released .bin of MicroPython for `board`.

    Raises ToolError unless both are whole (checksum and SHA-256), for this chip, and the app is
    MicroPython 1.23 or later, on RISC-V 1.24.
    """
    data = path.read_bytes()
    bootloader = _part(data, path, board, "bootloader", 0)
    app = _part(data, path, board, "app", app_offset - boards.bootloader(board))
    found = re.search(rb"MicroPython v(\d+)\.(\d+)", app)
    if not found:
        raise ToolError(f"{path} is not MicroPython: fetch {boards.url(board)}")
    version = (int(found[1]), int(found[2]))
    oldest = OLDEST_RISC_V if board.architecture == "rv32imc" else OLDEST_MICROPYTHON
    if version < oldest:
        raise ToolError(
            f"{path} is MicroPython {version[0]}.{version[1]}, too old: it must be "
            f"{oldest[0]}.{oldest[1]} or later"
        )
    return bootloader, app


def _part(data: bytes, path: Path, board: Board, what: str, offset: int) -> bytes:
    """Return the ESP image at `offset` of `data`; raise ToolError if it is not whole."""
    try:
        image = LoadFirmwareImage(board.chip, data[offset:])
    except (FatalError, RuntimeError, struct.error, IndexError):
        raise ToolError(
            f"{path} has no whole {what} at {offset:#x}: take the .bin of a release for "
            f"{board.name}, not .app-bin or .uf2, as {boards.url(board)}"
        ) from None
    if image.chip_id != image.ROM_LOADER.IMAGE_CHIP_ID:
        raise ToolError(f"the {what} in {path} is for another chip than {board.name}")
    if image.checksum != image.calculate_checksum():
        raise ToolError(f"the {what} in {path} is damaged (checksum differs): fetch it again")
    if not image.append_digest or image.stored_digest != image.calc_digest:
        raise ToolError(f"the {what} in {path} is damaged (SHA-256 differs): fetch it again")
    return data[offset : offset + image.data_length + len(image.stored_digest)]


def remarks_on(image: bytes, board: Board, model: Sizes) -> list[str]:
    """Return what a person should know of an image, whose board trains `model`."""
    remarks = []
    size = 1 << (image[boards.bootloader(board) + FLASH_SIZE] >> 4)
    if size << 20 > len(image):
        remarks.append(
            f"its bootloader is for {size} MB of flash: a board with less does not start, and "
            "needs a release for 4 MB"
        )
    vfs = partitions.read()["vfs"]
    block = LITTLEFS["block_size"]
    fs = LittleFS(block_count=vfs.size // block, **LITTLEFS, mount=False)
    fs.context.buffer[:] = image[vfs.offset : vfs.end]
    fs.mount()
    free = vfs.size // block - fs.used_block_count
    too_few = too_few_for_checkpoints(model, free, block, list_is_file=False)
    return remarks + ([too_few] if too_few else [])


def file_system(folder: Path, size: int) -> bytes:
    """Return a LittleFS of `size` bytes with the files of `folder`, as MicroPython mounts it.

    Raises ToolError if they do not fit.
    """
    fs = LittleFS(block_count=size // LITTLEFS["block_size"], **LITTLEFS)
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_dir():
                fs.mkdir(name)
            else:
                with fs.open(name, "wb") as file:
                    file.write(path.read_bytes())
    except LittleFSError:
        raise ToolError(f"{folder} does not fit into the {size:,} bytes of vfs") from None
    return bytes(fs.context.buffer)


def build_image(board: Board, firmware: Path, names: bytes, folder: Path) -> bytes:
    """Return the whole flash of `board`, from 0x0 on.

    `firmware` is a release of MicroPython, `names` the bytes of names.bin, `folder` what the file
    system will hold. Raises ToolError for anything that is too large or for another chip.
    """
    rows = partitions.read()
    bootloader, app = check_firmware(firmware, board, rows[APP].offset)
    vfs = rows["vfs"]
    parts = (
        ("bootloader", boards.bootloader(board), partitions.TABLE_OFFSET, bootloader),
        (
            "partition table",
            partitions.TABLE_OFFSET,
            partitions.FIRST_OFFSET,
            partitions.table(rows),
        ),
        (f"MicroPython ({firmware.name})", rows[APP].offset, rows[APP].end, app),
        ("list of names", rows["names"].offset, rows["names"].end, names),
        ("file system", vfs.offset, vfs.end, file_system(folder, vfs.size)),
    )
    flash = bytearray(BLANK * max(row.end for row in rows.values()))
    for what, start, end, data in parts:
        if len(data) > end - start:
            raise ToolError(
                f"the {what} has {len(data):,} bytes, its place at {start:#x} {end - start:,}"
            )
        flash[start : start + len(data)] = data
    return bytes(flash)


def write_image(
    target: Path,
    board: Board,
    firmware: Path | None,
    names: Source,
    settings: Settings | None = None,
) -> str:
    """Compile, build and write the image of `board` to `target`; return lines about it.

    `settings` are for its ugpt.json. The manifest, of the page that flashes boards, goes beside it.
    Raises ToolError for anything that must not be flashed, a model too large for the board too;
    `target` is then unchanged.
    """
    settings = settings or {}
    packed = names_bin.read(names)
    model = sizes_of(settings, packed.data)
    boards.check(board, model)
    program = target.parent / "files"
    build.build_files(program, board.architecture)
    said = packed.write(target.parent / "names.bin")
    write_settings(settings, program)
    image = build_image(board, find_firmware(board, firmware), packed.data, program)
    about = manifest.build(board, target.name, image, settings)
    files.write(target, image)
    files.write(target.with_name(manifest.FILE), json.dumps(about, indent=2) + "\n")
    done = f"{target}: {len(image):,} bytes for {board.name}, to be written at 0x0"
    return "\n".join([said, done, *remarks_on(image, board, model)])


def path_of(board: Board) -> Path:
    """Return where the image of `board` is built."""
    return BUILD / board.name / "image.bin"


def image_options(command: Command, takes: Sequence[str] = boards.WITH_IMAGE) -> Command:
    """Add what an image is made from as options: board (of `takes`), firmware, names, sizes."""
    return boards.image_board_options(names_options(sizes_options(command)), takes)


@click.command("image")
@image_options
def image_command(board: Board, firmware: Path | None, names: Source, sizes: Settings) -> None:
    """Build the image: all of a board's flash in one file.

    \b
    Examples: microgpt-board image --board ESP32_GENERIC_S3
              microgpt-board image --release v1.28.0
    """
    click.echo(write_image(path_of(board), board, firmware, names, settings_for(sizes, names)))
