"""Build the image, write it to a board with esptool, and show the board's run.

python -m microgpt_board.device.flash [--port PORT] [--baud BAUD] [--board BOARD]
python -m microgpt_board.device.flash --erase

More options of esptool's own come from ESPTOOL_FLAGS.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from microgpt_board.device import monitor, ports
from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import boards, image
from microgpt_board.image.boards import Board

BAUD = 460800  # what every USB chip of these boards does
SLOWER_BAUD = 115200


class WriteError(Exception):
    """Writing began and did not end well: a lower baud rate may help."""


def esptool(board: Board, port: str, baud: int, *words: str) -> None:
    """Run esptool; its progress goes to stdout.

    Raises ToolError for what the user can mend, WriteError for what may be the line's fault.
    """
    command = [sys.executable, "-m", "esptool", "--chip", board.chip, "--port", port]
    command += ["--baud", str(baud), *shlex.split(os.environ.get("ESPTOOL_FLAGS", "")), *words]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise reason(result.stderr, board, port)


def reason(text: str, board: Board, port: str) -> Exception:
    """Return the error behind esptool's `text`: ToolError, or WriteError if it may be the line."""
    if "Failed to connect" in text:
        return ToolError(
            f"no {board.chip} in download mode at {port}: hold its BOOT button down while "
            "esptool connects, or hold BOOT, press EN and try again"
        )
    if "Wrong chip argument" in text or "Unexpected chip" in text:
        said = text.partition("This chip is ")[2].partition(",")[0] or "another chip"
        return ToolError(
            f"the board at {port} is {said}, not {board.chip}: name yours with BOARD= "
            f"({', '.join(boards.NAMES)})"
        )
    if "will not fit" in text:
        return ToolError(f"the flash of the board at {port} is too small: it must have 4 MB")
    if "Usage:" in text:
        return ToolError("esptool does not know these options: check ESPTOOL_FLAGS")
    if "Could not open" in text:
        return ports.problem(port, OSError(text.replace("\n", " ")))
    said = re.search("A fatal error occurred: (.+)", text)
    return WriteError(said[1].rstrip(".") if said else "esptool was stopped")


def write(board: Board, port: str, baud: int, file: Path) -> None:
    """Write `file` at 0x0 and have it verified; once more, slower, if that fails half-way.

    Raises ToolError.
    """
    words = ("write-flash", "--compress", "0x0", str(file))
    try:
        try:
            esptool(board, port, baud, *words)
        except WriteError as error:
            if baud <= SLOWER_BAUD:
                raise
            print(f"{error}: once more at {SLOWER_BAUD} baud", file=sys.stderr)
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


def main() -> None:
    parser = parser_of("flash", __doc__)
    parser.add_argument("--port", help="serial port (found by its USB chip)")
    parser.add_argument("--baud", type=int, default=BAUD, help=f"to write with ({BAUD})")
    parser.add_argument("--erase", action="store_true", help="only erase the flash")
    parser.add_argument("--no-monitor", action="store_true", help="stop after the reset")
    image.add_arguments(parser)
    arguments = parser.parse_args()
    board = boards.find(arguments.board)
    port = ports.find_port(arguments.port)
    ports.check_port(port)
    baud = SLOWER_BAUD if "://" in port else arguments.baud  # a socket has no baud rate
    if arguments.erase:
        erase(board, port, baud)
        return
    file = image.path_of(board)
    print(image.write_image(file, board, arguments.firmware, arguments.names), flush=True)
    write(board, port, baud, file)
    if not arguments.no_monitor:
        monitor.watch_port(arguments.port)


if __name__ == "__main__":
    run(main)
