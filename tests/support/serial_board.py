"""Stand-ins at the other end of a pseudo-terminal, which the real tools take for a serial port."""

import os
import subprocess
import termios
import threading
import tty
from contextlib import suppress
from pathlib import Path

from microgpt_board.emulation.micropython import find_micropython

REPL = Path(__file__).with_name("board_repl.py")


class SerialEnd:
    """A pseudo-terminal: `port` is for the tools, `read` and `write` are the board's."""

    def __init__(self) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)

    def read(self) -> bytes:
        """Return what came in; b"" once the port is closed."""
        try:
            return os.read(self._ours, 4096)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        while data:
            data = data[os.write(self._ours, data) :]

    def discard(self) -> None:
        """Drop what was sent and that nobody has read."""
        termios.tcflush(self._theirs, termios.TCIFLUSH)

    def unplug(self) -> None:
        """Leave `port` to whoever has opened it; without one, `read` returns b""."""
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs = None

    def close(self) -> None:
        """Close our end too."""
        self.unplug()
        os.close(self._ours)


class MicroPythonBoard:
    """A board that runs MicroPython: the computer's own, behind a pseudo-terminal.

    Its flash is a folder, or with `family` a file with a LittleFS. Ctrl-C interrupts our program,
    which looks for it between two steps. `family`: sys.platform and the place of the file system of
    another board than the virtual one.
    """

    def __init__(self, flash: Path, *family: str) -> None:
        self.flash = flash
        image = [str(flash)] if flash.is_file() else []
        self._end = SerialEnd()
        self.port = self._end.port
        self._process = subprocess.Popen(
            [find_micropython(), "-X", "heapsize=2M", str(REPL), *family, *image],
            cwd=flash.parent if image else flash,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        work = (self._to_board, self._from_board)
        self._threads = [threading.Thread(target=each) for each in work]
        for thread in self._threads:
            thread.start()

    def _to_board(self) -> None:
        with suppress(BrokenPipeError):  # it is being switched off
            while data := self._end.read():
                self._process.stdin.write(data)

    def _from_board(self) -> None:
        while data := self._process.stdout.read(4096):
            self._end.write(data.replace(b"\n", b"\r\n"))

    def close(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.wait()
        to_board, from_board = self._threads
        while from_board.is_alive():  # it waits as long as nobody reads what it has written
            self._end.discard()
            from_board.join(0.05)
        self._end.unplug()
        to_board.join()
        self._end.close()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()
