"""The emulated board: Espressif's QEMU, its serial port on a socket."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import click
from microgpt.boards import Board
from microgpt.cli.options import PATH

from microgpt_board.errors import ToolError
from microgpt_board.image import boards, image
from microgpt_board.image.names_bin import Source
from microgpt_board.image.partitions import FLASH_SIZE
from microgpt_board.image.sizes import Settings, settings_for

PORT = 5555
MACHINE = "esp32"
STRAPS_DOWNLOAD = "0x0f"  # the levels of the strapping pins while BOOT is held down


def find_qemu() -> str:
    """Return a QEMU with an ESP32: $QEMU, else PATH's; raise ToolError if there is none."""
    named = os.environ.get("QEMU")
    found = shutil.which(named or "qemu-system-xtensa")
    if named and not found:
        raise ToolError(f"QEMU={named} is not a program that can be run")
    if found:
        machines = subprocess.run([found, "-machine", "help"], capture_output=True, text=True)
        if any(line.split(" ")[0] == MACHINE for line in machines.stdout.splitlines()):
            return found
    raise ToolError(
        f"{found or 'no QEMU here'}{' has no machine esp32' if found else ''}: get Espressif's "
        "qemu-system-xtensa from https://github.com/espressif/qemu/releases and put it on PATH, "
        "or name it with QEMU="
    )


def command_for(qemu: str, flash: Path, port: int, download: bool) -> list[str]:
    """Return the command that boots `flash` with the serial port on `port` of this computer."""
    command = [qemu, "-machine", MACHINE, "-display", "none", "-monitor", "none"]
    command += ["-drive", f"file={flash},if=mtd,format=raw"]
    command += ["-serial", f"tcp:127.0.0.1:{port},server=on,wait=off"]
    if download:
        command += ["-global", f"driver=esp32.gpio,property=strap_mode,value={STRAPS_DOWNLOAD}"]
    return command


def flash_file(
    board: Board,
    flash: Path | None,
    download: bool,
    firmware: Path | None,
    names: Source,
    settings: Settings | None = None,
) -> Path:
    """Return the file that is to be the flash: `flash`, an empty one, or the image, just built.

    Raises ToolError if `flash` is not one, or the image cannot be built.
    """
    if flash:
        if not flash.is_file() or flash.stat().st_size != FLASH_SIZE:
            raise ToolError(f"{flash} is not a flash of {FLASH_SIZE:,} bytes")
        return flash
    built = image.path_of(board)
    copy = built.with_name("flash.bin")
    if download:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(image.BLANK * FLASH_SIZE)
    else:
        click.echo(image.write_image(built, board, firmware, names, settings))
        shutil.copyfile(built, copy)
    return copy


def run_until_ctrl_c(command: list[str]) -> None:
    """Run QEMU until it ends or a signal ends it; raise ToolError with its last line."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _, text = process.communicate()
    except KeyboardInterrupt:
        return
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise ToolError((text.strip().splitlines() or ["QEMU was stopped"])[-1])


@click.command("emulate")
@click.option(
    "--socket", type=int, default=PORT, show_default=True, help="TCP port of the serial port."
)
@click.option("--flash", type=PATH, help="Boot this flash, and keep what is written to it.")
@click.option("--download", is_flag=True, help="Download mode with an empty flash, for esptool.")
@partial(image.image_options, takes=boards.EMULATED)
def emulate_command(
    socket: int,
    flash: Path | None,
    download: bool,
    board: Board,
    firmware: Path | None,
    names: Source,
    sizes: Settings,
) -> None:
    """Boot the image on an emulated board, Espressif's QEMU.

    Its serial port is a socket, such as socket://127.0.0.1:5555 for the other verbs. The
    environment's QEMU names the program. Ctrl-C ends it.

    \b
    Examples: microgpt-board emulate
              microgpt-board emulate --flash build/ESP32_GENERIC/flash.bin
    """
    qemu = find_qemu()
    file = flash_file(board, flash, download, firmware, names, settings_for(sizes, names))
    click.echo(f"{file} on the emulated board: PORT=socket://127.0.0.1:{socket}; Ctrl-C ends it")
    sys.stdout.flush()
    run_until_ctrl_c(command_for(qemu, file, socket, download))
