"""Boot the image on an emulated board, Espressif's QEMU, its serial port on a socket.

python -m microgpt_board.emulation.qemu                    then, elsewhere: make monitor PORT=socket://127.0.0.1:5555
python -m microgpt_board.emulation.qemu --download         an empty board in download mode, for esptool
python -m microgpt_board.emulation.qemu --flash FILE       boot a flash as it is: what the last run left in it
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import boards, image
from microgpt_board.image.partitions import FLASH_SIZE

PORT = 5555
MACHINE = "esp32"
STRAPS_DOWNLOAD = "0x0f"  # how the pins are pulled while BOOT is held down


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


def main() -> int:
    parser = parser_of("emulate", __doc__)
    parser.add_argument("--socket", type=int, default=PORT, help=f"port of the socket ({PORT})")
    parser.add_argument("--flash", type=Path, help="boot this flash, and keep what it becomes")
    parser.add_argument("--download", action="store_true", help="download mode, empty flash")
    image.add_arguments(parser)
    arguments = parser.parse_args()
    board = boards.find(arguments.board)
    if board.chip != MACHINE:
        raise ToolError(f"QEMU emulates an {MACHINE}, not the {board.chip} of {board.name}")
    qemu = find_qemu()
    flash = arguments.flash or image.path_of(board).with_name("flash.bin")
    if arguments.flash:
        if not flash.is_file() or flash.stat().st_size != FLASH_SIZE:
            raise ToolError(f"{flash} is not a flash of {FLASH_SIZE:,} bytes")
    elif arguments.download:
        flash.parent.mkdir(parents=True, exist_ok=True)
        flash.write_bytes(image.BLANK * FLASH_SIZE)
    else:
        built = image.path_of(board)
        print(image.write_image(built, board, arguments.firmware, arguments.names))
        shutil.copyfile(built, flash)
    print(f"{flash} on the emulated board: PORT=socket://127.0.0.1:{arguments.socket}; Ctrl-C ends")
    sys.stdout.flush()
    command = command_for(qemu, flash, arguments.socket, arguments.download)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # QEMU must end too
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _, text = process.communicate()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise ToolError((text.strip().splitlines() or ["QEMU was stopped"])[-1])
    return 0


if __name__ == "__main__":
    run(main)
