"""Find the serial port of the board; list those there are; say what stands in the way of one.

python -m microgpt_board.device.ports [--find] [--port PORT]
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from microgpt_board.errors import ToolError, parser_of, run

BAUD = 115200  # MicroPython's, and the boot ROM's
VARIABLES = ("ESPTOOL_PORT", "AMPY_PORT")
USB_VENDORS = {
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x",
    0x0403: "FTDI",
    0x303A: "Espressif",
}
LINUX_GROUPS = ("dialout", "uucp")  # Debian, Fedora; Arch

CHECKS = {
    "linux": "look for it in dmesg (no driver is needed)",
    "darwin": "install the driver of its USB chip (CP210x or CH34x) and allow it in Privacy & "
    "Security",
    "win32": "install the driver of its USB chip (CP210x or CH34x) if Device Manager shows it "
    "with a warning sign",
}


def list_boards() -> list[ListPortInfo]:
    """Return the ports behind which an ESP32 may be, by the USB vendor of their chip."""
    return sorted(port for port in list_ports.comports() if port.vid in USB_VENDORS)


def describe(port: ListPortInfo) -> str:
    """Return the port's name, and in brackets which USB chip it is."""
    return f"{port.device} ({USB_VENDORS[port.vid]} {port.vid:04x}:{port.pid:04x})"


def find_port(named: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the port: the one named, else ESPTOOL_PORT, else AMPY_PORT, else the only board.

    Raises ToolError if there is no board, or more than one.
    """
    for port in (named, *(environment.get(variable) for variable in VARIABLES)):
        if port:
            return port
    boards = list_boards()
    if not boards:
        raise ToolError(
            "no board found: plug it in with a USB cable that carries data (many only charge); "
            f"if it is plugged in, {CHECKS.get(sys.platform, CHECKS['linux'])}, or name its port "
            "with PORT="
        )
    if len(boards) > 1:
        listed = ", ".join(describe(board) for board in boards)
        raise ToolError(f"{len(boards)} boards: {listed}; name one: PORT={boards[0].device}")
    return boards[0].device


def open_port(port: str, timeout: float | None = None) -> serial.SerialBase:
    """Open a port as pyserial knows them, socket:// included, for us alone.

    DTR and RTS stay both on, as the system puts them: switched one by one they reset an ESP32.
    Raises ToolError, saying what to do about it.
    """
    try:
        return serial.serial_for_url(port, BAUD, timeout=timeout, exclusive=True)
    except ValueError as error:
        raise ToolError(f"{port} is no port: {error}") from None
    except (serial.SerialException, OSError) as error:
        raise problem(port, error) from None


def close_port(port: serial.SerialBase) -> None:
    """Close a port without a reset of the board: RTS, which pulls its EN, goes off first."""
    try:
        port.rts = False
        port.dtr = False
    except OSError:
        pass  # a pseudo-terminal has no such lines, and an unplugged port no more
    port.close()


def check_port(port: str) -> None:
    """Raise ToolError if the port cannot be opened."""
    close_port(open_port(port))


def problem(port: str, error: Exception) -> ToolError:
    """Return, in a line that says what to do, why `port` could not be opened."""
    text = str(error)
    if port.startswith("socket://"):
        return ToolError(f"nothing answers at {port}: start the emulated board with make emulate")
    if "Permission denied" in text or "Errno 13" in text:
        return ToolError(f"no permission to open {port}: {_permission()}")
    if "Errno 2]" in text or "FileNotFound" in text or "No such file" in text:
        return ToolError(f"{port} is not there: plug the board in; make ports lists what there is")
    if any(word in text for word in ("lock", "Errno 16", "Errno 11", "busy", "denied")):
        holder = find_holder(port) or "another program (a serial monitor, an IDE?)"
        return ToolError(f"{port} is in use by {holder}: close it and try again")
    return ToolError(f"cannot open {port}: {text}")


def _permission() -> str:
    if sys.platform != "linux":
        return "close what uses it, or ask whoever looks after this computer"
    import grp

    names = {group.gr_name for group in grp.getgrall()}
    group = next((name for name in LINUX_GROUPS if name in names), LINUX_GROUPS[0])
    return f"join its group with sudo usermod -aG {group} $USER, then log out and in again"


def find_holder(port: str) -> str | None:
    """Return the name and number of another process that holds `port`, where the system tells."""
    if sys.platform == "darwin":
        listed = subprocess.run(["lsof", "-F", "pc", port], capture_output=True, text=True)
        fields = {line[0]: line[1:] for line in listed.stdout.splitlines() if line}
        return f"{fields['c']} (process {fields['p']})" if {"c", "p"} <= fields.keys() else None
    target = Path(port).resolve()
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(link.resolve() == target for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # gone already, or somebody else's
    return None


def main() -> None:
    parser = parser_of("ports", __doc__)
    parser.add_argument("--find", action="store_true", help="print only the port to use")
    parser.add_argument("--port", help="the port to use, whatever there is")
    arguments = parser.parse_args()
    if arguments.find or arguments.port:
        print(find_port(arguments.port))
        return
    boards = list_boards()
    for board in boards:
        print(describe(board))
    if not boards:
        find_port(None, {})


if __name__ == "__main__":
    run(main)
