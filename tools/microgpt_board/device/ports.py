"""Find the serial port of the board, list the ports, explain why one cannot be opened."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import serial
from microgpt.system.terminal import printable
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from microgpt_board.errors import ToolError
from microgpt_board.image.boards import DRIVES

BAUD = 115200  # MicroPython's, and the boot ROM's
VIRTUAL = "virtual"  # the port of the virtual board, for the verbs that need only a prompt
VARIABLES = ("PORT", "ESPTOOL_PORT", "AMPY_PORT")
ESPRESSIF = 0x303A
USB_VENDORS = {  # of chips between USB and a board, then those in MicroPython's own source
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x",
    0x0403: "FTDI",
    0x0D28: "Arm DAPLink",
    0x0483: "ST-LINK",
    ESPRESSIF: "Espressif",
    0x2E8A: "Raspberry Pi",
    0xF055: "MicroPython",  # on STM32, SAMD, i.MX RT (so Teensy 4), nRF, Renesas RA
    0x239A: "Adafruit",
    0x2341: "Arduino",
    0x1B4F: "SparkFun",
    0x2886: "Seeed",
}
USB_PRODUCTS = {  # what is more than its vendor's name
    (ESPRESSIF, 0x1001): "Espressif, the USB of a C3, C6, H2 or S3",
    (ESPRESSIF, 0x4001): "Espressif S2 or S3 with MicroPython",
    (0x2E8A, 0x0005): "Raspberry Pi Pico with MicroPython",
}
# Serial ports of Raspberry Pi's debug probes, with no MicroPython behind them.
NO_BOARDS = {(0x2E8A, 0x0004), (0x2E8A, 0x000C)}
BRIDGES = (0x10C4, 0x1A86, 0x0403, 0x0D28, 0x0483)  # whose port stays when the board is reset
POLL_S = 0.05
GOING_S = 2  # until the port of a board that was reset is gone
BACK_S = 10  # until it is back
LINUX_GROUPS = ("dialout", "uucp")  # Debian, Fedora; Arch

_DRIVER = "a board with a CP210x or CH34x needs the driver of that chip"
CHECKS = {
    "linux": "dmesg lists what was plugged in",
    "darwin": f"{_DRIVER}, allowed in Privacy & Security",
    "win32": f"{_DRIVER} if Device Manager shows it with a warning sign",
}


def list_boards() -> list[ListPortInfo]:
    """Return the ports that may be a board's, by their USB ids."""
    return sorted(port for port in list_ports.comports() if _what(port))


def _what(port: ListPortInfo) -> str | None:
    """Return what the USB ids of a port say; None if it is no board's."""
    ids = (port.vid, port.pid)
    return None if ids in NO_BOARDS else USB_PRODUCTS.get(ids) or USB_VENDORS.get(port.vid)


def describe(port: ListPortInfo) -> str:
    """Return the port's name, and in brackets what its USB ids say."""
    return f"{port.device} ({_what(port)} {port.vid:04x}:{port.pid:04x})"


def is_own_usb(name: str) -> bool:
    """Return whether a port is the USB of an Espressif chip itself, without a chip between them.

    Such a port goes when the board is reset, comes back, and has no baud rate.
    """
    device = os.path.realpath(name)
    return any(port.device == device and port.vid == ESPRESSIF for port in list_ports.comports())


@contextmanager
def across_reset(name: str) -> Iterator[None]:
    """Reset a board in this context; its end waits until the port is back, for BACK_S at most.

    One that is the board's own USB goes and comes back; the next verb would not find it, or not
    be allowed to open it yet.
    """
    device = os.path.realpath(name)  # a link such as those in /dev/serial goes and comes too

    def there() -> bool:
        listed = any(port.device == device for port in list_ports.comports())
        return listed and os.access(name, os.R_OK | os.W_OK)

    known = {port.device: port.vid for port in list_ports.comports()}
    yield
    if known.get(device) in (None, *BRIDGES):
        return
    start = time.monotonic()
    while there() and time.monotonic() < start + GOING_S:
        time.sleep(POLL_S)
    while not there() and time.monotonic() < start + BACK_S:
        time.sleep(POLL_S)


def find_port(named: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the port: the one named, else the environment's, else that of the only board.

    The environment's is the first of VARIABLES that is set, but PORT is skipped where it is a
    number: it is then the port of a web server. Raises ToolError if there is no board, or more
    than one.
    """
    if named:
        return named
    for variable in VARIABLES:
        port = environment.get(variable)
        if port and not (variable == "PORT" and port.strip().isdecimal()):
            return port
    boards = list_boards()
    if not boards:
        raise ToolError(
            "no board found: plug it in with a USB cable that carries data, or name its port with "
            f"PORT=; {CHECKS.get(sys.platform, CHECKS['linux'])}; a Pico that is a drive "
            f"({' or '.join(DRIVES.values())}) has no MicroPython yet: make boards BOARD=RPI_PICO2 "
            "says how"
        )
    if len(boards) > 1:
        listed = ", ".join(describe(board) for board in boards)
        raise ToolError(f"{len(boards)} boards: {listed}; name one: PORT={boards[0].device}")
    return boards[0].device


def find_serial_port(named: str | None, verb: str) -> str:
    """Return the port as `find_port` does; raise ToolError if it is the virtual board."""
    port = find_port(named)
    if port == VIRTUAL:
        raise ToolError(
            f"{verb} needs a serial port, which the virtual board does not have: name a board's "
            "with --port or PORT="
        )
    return port


def open_port(port: str, timeout: float | None = None) -> serial.SerialBase:
    """Open a port that pyserial supports, socket:// included, exclusively.

    DTR and RTS stay on, as the system sets them: switching them one by one resets an ESP32.
    Raises ToolError, whose message says what to do.
    """
    try:
        return serial.serial_for_url(port, BAUD, timeout=timeout, exclusive=True)
    except ValueError as error:
        raise ToolError(f"{port} is no port: {error}") from None
    except (serial.SerialException, OSError) as error:
        raise problem(port, error) from None


def close_port(port: serial.SerialBase) -> None:
    """Close a port without resetting the board: RTS, which drives EN, is switched off first."""
    try:
        port.rts = False
        port.dtr = False
    except OSError:
        pass  # a pseudo-terminal has no such lines, and an unplugged port has lost them
    port.close()


def check_port(port: str) -> None:
    """Raise ToolError if the port cannot be opened."""
    close_port(open_port(port))


def problem(port: str, error: Exception) -> ToolError:
    """Return why `port` could not be opened, as an error whose message says what to do."""
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
        return "close the program that uses it, or ask the administrator of this computer"
    import grp

    names = {group.gr_name for group in grp.getgrall()}
    group = next((name for name in LINUX_GROUPS if name in names), LINUX_GROUPS[0])
    return f"join its group with sudo usermod -aG {group} $USER, then log out and in again"


def find_holder(port: str) -> str | None:
    """Return the name and number of another process that has `port` open; None if unknown."""
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
            continue  # the process has ended, or belongs to another user
    return None


port_option = click.option(
    "--port", help="Serial port, socket://HOST:PORT too [default: PORT, else the only board]."
)
prompt_port_option = click.option(
    "--port",
    help="Serial port, socket://HOST:PORT or virtual [default: PORT, else the only board].",
)


@click.command("ports")
@click.option("--find", is_flag=True, help="Print only the port that the other verbs would use.")
@port_option
def ports_command(find: bool, port: str | None) -> None:
    """List the serial ports with a board.

    Example: microgpt-board ports
    """
    if find or port:
        click.echo(find_port(port))
        return
    boards = list_boards()
    for board in boards:
        click.echo(printable(describe(board)))
    if not boards:
        find_port(None, {})
