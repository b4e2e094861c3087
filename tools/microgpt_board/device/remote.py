"""A board's prompt and files, through mpremote; "virtual" is MicroPython on this computer.

The program that runs there is interrupted, and started again in the end.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from microgpt_board.device import ports
from microgpt_board.device.run import FLASH, HEAP
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build

VIRTUAL = "virtual"
NAMES = Path("data/names.txt")
PATIENCE_S = 600  # for one command: the self-test of an emulated board takes some 100 s
ANSWER_S = 25  # an emulated board on a busy computer takes that long to start


class NoAnswer(ToolError):
    """Nothing that speaks MicroPython is at the port, or not yet."""

    def __init__(self) -> None:
        super().__init__(
            "no MicroPython answers: press the board's EN button and try again, or put "
            "MicroPython on it with make flash"
        )


def until_answer(call: Callable[[], str]) -> str:
    """Return what `call` does; while it raises NoAnswer, try again for ANSWER_S."""
    limit = time.monotonic() + ANSWER_S
    while True:
        try:
            return call()
        except NoAnswer:
            if time.monotonic() > limit:
                raise
            print("no answer: is it starting, or saving? Once more ...", file=sys.stderr)


def failure(what: str, said: str) -> ToolError:
    """Return the error that a tool's last words are: NoAnswer, or `what` and the last of them."""
    if "could not enter raw repl" in said:
        return NoAnswer()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return ToolError(f"{what}: {lines[-1] if lines else 'no reason was given'}")


class Remote:
    """Each method is one connection of mpremote."""

    def __init__(self, words: list[str]) -> None:
        self._start = [sys.executable, "-m", "mpremote", *words]
        self.reached = False

    def run(self, code: str, show: bool = False) -> str:
        """Return what `code` prints on the board, and print it as it comes if it is to `show`."""
        return self._call("exec", code, show=show)

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file from the board."""
        self._call("cp", f":{name}", str(target))

    def put(self, source: Path, name: str) -> None:
        """Copy a file to the board."""
        self._call("cp", "-f", str(source), f":{name}")

    def start(self, code: str) -> None:
        """Let the board run `code`, and do not wait for it."""
        self._call("exec", "--no-follow", code)

    def restart(self) -> None:
        """Start the board's program again."""
        self.start("import machine; machine.reset()")

    def _call(self, *words: str, show: bool = False) -> str:
        return until_answer(lambda: self._call_once(words, show))

    def _call_once(self, words: tuple[str, ...], show: bool) -> str:
        command = [*self._start, *words]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            patience = threading.Timer(PATIENCE_S, process.kill)
            patience.start()
            lines = []
            try:
                for line in process.stdout:
                    lines.append(line)
                    if show:
                        print(line.rstrip("\r\n"), flush=True)
                lines += process.stderr.readlines()
                in_time = patience.is_alive()
            finally:
                patience.cancel()
        if not in_time:
            raise ToolError(f"the board was not done in {PATIENCE_S} s: press EN and try again")
        if process.returncode:
            error = failure("the board says", "".join(lines))
            self.reached = self.reached or not isinstance(error, NoAnswer)
            raise error
        self.reached = True
        return "".join(lines)


@contextmanager
def connect(port: str | None, flash: Path = FLASH) -> Iterator[Remote]:
    """Give the board at `port`, None: the one there is; VIRTUAL: its flash is the folder `flash`.

    Raises ToolError if there is no board, or no way to it.
    """
    if port == VIRTUAL:
        with _virtual(flash) as board:
            yield board
        return
    port = ports.find_port(port)
    ports.check_port(port)
    board = Remote(["connect", port])
    try:
        yield board
    except BaseException:
        if board.reached:
            with suppress(ToolError):  # what went wrong first is what counts
                board.restart()
        raise
    if board.reached:
        board.restart()


@contextmanager
def _virtual(flash: Path) -> Iterator[Remote]:
    """Give MicroPython's own prompt at the end of a pseudo-terminal; the names there stay."""
    import tty  # not on Windows

    if (flash / "names.bin").exists():
        build.build_files(flash, build.virtual_architecture(find_micropython()))
    else:
        build.build_virtual(flash, NAMES)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    process = subprocess.Popen(
        [find_micropython(), "-X", f"heapsize={HEAP}"],
        cwd=flash,
        stdin=ours,
        stdout=ours,
        stderr=ours,
    )
    try:
        # "resume": a soft reset ends MicroPython on a computer.
        yield Remote(["connect", os.ttyname(theirs), "resume"])
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
