"""Read lines from a serial port, across disconnections."""

import math
import time
from collections.abc import Callable, Iterator

import serial

from microgpt_board.device.ports import close_port, open_port
from microgpt_board.errors import ToolError

LONGEST_LINE = 2048  # bytes; a name has up to 256 characters, an escaped one is 6 bytes
CHUNK = 4096
READ_S = 0.05
RETRY_S = 0.5


class LineSplitter:
    """Cuts a stream of bytes, in parts of any size, into lines that end with LF or CR LF."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes, without their ends.

        A byte that is not UTF-8 becomes a lone surrogate; `log.legible` shows it. A line longer
        than LONGEST_LINE bytes is noise, and is cut there.
        """
        *lines, rest = (self._rest + data).split(b"\n")
        lines = [part for line in lines for part in _cut(line.removesuffix(b"\r"))]
        *parts, self._rest = _cut(rest)
        return [part.decode("utf-8", "surrogateescape") for part in lines + parts]


def _cut(line: bytes) -> list[bytes]:
    count = max(1, -(-len(line) // LONGEST_LINE))
    return [line[i * LONGEST_LINE : (i + 1) * LONGEST_LINE] for i in range(count)]


def read_lines(
    find: Callable[[], str], tell: Callable[[str], None], patience_s: float = 0, first: bytes = b""
) -> Iterator[str]:
    """Open the port that `find` names, write `first` to it, and return its lines, without end.

    If the port disappears, they wait for it and call `tell` with a line about it, and with "" when
    it is back. Raises ToolError if the port cannot be opened within `patience_s` seconds.
    """
    name, port = _open(find, patience_s)
    return _lines(name, port, find, tell, first)


def _lines(
    name: str,
    port: serial.SerialBase,
    find: Callable[[], str],
    tell: Callable[[str], None],
    first: bytes,
) -> Iterator[str]:
    while True:
        splitter = LineSplitter()
        try:
            if first:
                port.write(first)
                first = b""
            while True:
                yield from splitter.feed(port.read(CHUNK))
        except (serial.SerialException, OSError):
            tell(f"{name} is gone: waiting until the board has restarted, or is plugged in again")
        finally:
            close_port(port)
        time.sleep(RETRY_S)
        name, port = _open(find, math.inf)
        tell("")


def _open(find: Callable[[], str], patience_s: float) -> tuple[str, serial.SerialBase]:
    give_up = time.monotonic() + patience_s
    while True:
        try:
            name = find()
            return name, open_port(name, READ_S)
        except ToolError:
            if time.monotonic() >= give_up:
                raise
        time.sleep(RETRY_S)
