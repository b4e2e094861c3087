"""Write the image to a board with esptool; options of esptool's own come from ESPTOOL_FLAGS."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
from microgpt.boards import Board
from microgpt.cli.options import tensorboard_option
from microgpt.runs.tensorboard import make_folder
from microgpt.system.terminal import printable

from microgpt_board.device import monitor, ports
from microgpt_board.device.ports import port_option
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, image
from microgpt_board.image.boards import board_option
from microgpt_board.image.names_bin import Source
from microgpt_board.image.sizes import Settings, settings_for

BAUD = 460800  # every USB chip of these boards has it
SLOWER_BAUD = 115200


class WriteError(Exception):
    """Writing started and then failed: a lower baud rate may help."""


def esptool(board: Board, port: str, baud: int, *words: str) -> None:
    """Run esptool; its progress goes to stdout.

    Raises ToolError for what the user can correct, WriteError for a possible transmission error.
    """
    try:
        flags = shlex.split(os.environ.get("ESPTOOL_FLAGS", ""))
    except ValueError as error:
        raise ToolError(f"ESPTOOL_FLAGS cannot be split into options: {error}") from None
    command = [sys.executable, "-m", "esptool", "--chip", board.chip, "--port", port]
    command += ["--baud", str(baud), *flags, *words]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise reason(result.stderr, board, port)


def reason(text: str, board: Board, port: str) -> Exception:
    """Return the error for esptool's output: WriteError for a possible transmission error."""
    if "Failed to connect" in text:
        how = "hold its BOOT button down while esptool connects, or hold BOOT, press EN"
        if ports.is_own_usb(port):
            how = "hold its BOOT button, press RESET, let BOOT go (or plug it in with BOOT held)"
        return ToolError(f"no {board.chip} in download mode at {port}: {how} and try again")
    if "Wrong chip argument" in text or "Unexpected chip" in text:
        chip = text.partition("This chip is ")[2].partition(",")[0] or "another chip"
        return ToolError(
            f"the board at {port} is {chip}, not {board.chip}: name yours with BOARD= "
            f"({', '.join(boards.WITH_IMAGE)})"
        )
    if "will not fit" in text:
        return ToolError(f"the flash of the board at {port} is too small: it must have 4 MB")
    if "Usage:" in text:
        return ToolError("esptool does not know these options: check ESPTOOL_FLAGS")
    if "Could not open" in text:
        return ports.problem(port, OSError(text.replace("\n", " ")))
    fatal = re.search("A fatal error occurred: (.+)", text)
    return WriteError(fatal[1].rstrip(".") if fatal else "esptool was stopped")


def write(board: Board, port: str, baud: int, file: Path) -> None:
    """Write `file` at 0x0 and verify it; if writing fails, try once more at SLOWER_BAUD.

    The USB of an Espressif chip itself takes any baud rate and has none. Raises ToolError.
    """
    own = ports.is_own_usb(port)
    words = ("write-flash", "--compress", "0x0", str(file))
    try:
        try:
            esptool(board, port, baud, *words)
        except WriteError as error:
            if baud <= SLOWER_BAUD:
                raise
            rate = "" if own else f" at {SLOWER_BAUD} baud"
            print(printable(f"{error}: once more{rate}"), file=sys.stderr)
            esptool(board, port, SLOWER_BAUD, *words)
    except WriteError as error:
        raise ToolError(
            f"writing failed ({error}): try another USB cable or socket, without a hub"
        ) from None


def erase(board: Board, port: str, baud: int) -> None:
    """Erase all of the flash; raise ToolError."""
    try:
        esptool(board, port, baud, "erase-flash")
    except WriteError as error:
        raise ToolError(f"erasing failed ({error}): try another USB cable or socket") from None


baud_option = click.option(
    "--baud", type=int, default=BAUD, show_default=True, help="Baud rate to write with."
)


@click.command("flash")
@port_option
@baud_option
@image.image_options
@click.option("--no-monitor", is_flag=True, help="Stop after writing.")
@tensorboard_option
def flash_command(
    port: str | None,
    baud: int,
    board: Board,
    firmware: Path | None,
    names: Source,
    sizes: Settings,
    no_monitor: bool,
    tensorboard: Path | None,
) -> None:
    """Build the image, write it to a board and watch the run.

    The environment's ESPTOOL_FLAGS are more options for esptool.

    \b
    Examples: microgpt-board flash --port /dev/ttyUSB0
              microgpt-board flash --board ESP32_GENERIC_C3
    """
    if tensorboard:
        make_folder(tensorboard)
    found, baud = _line(port, baud, "flash")
    own_usb = ports.is_own_usb(found)
    file = image.path_of(board)
    click.echo(image.write_image(file, board, firmware, names, settings_for(sizes, names)))
    write(board, found, baud, file)
    if own_usb:
        click.echo("press the board's RESET button if nothing comes from it now", err=True)
    if not no_monitor:
        monitor.watch_port(port, tensorboard=tensorboard, reset=found if own_usb else None)


@click.command("erase")
@port_option
@baud_option
@board_option
def erase_command(port: str | None, baud: int, board: str) -> None:
    """Erase all of a board's flash.

    Example: microgpt-board erase --port /dev/ttyUSB0
    """
    kind = boards.find(board)
    boards.bootloader(kind, "erase")
    erase(kind, *_line(port, baud, "erase"))


def _line(named: str | None, baud: int, verb: str) -> tuple[str, int]:
    """Return port and baud rate for esptool; raise ToolError if the port cannot be used."""
    port = ports.find_serial_port(named, verb)
    ports.check_port(port)
    return port, SLOWER_BAUD if "://" in port else baud  # a socket has no baud rate
