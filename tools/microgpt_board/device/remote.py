"""A board's prompt and files, through mpremote.

The program that runs on the board is interrupted first and restarted at the end.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from microgpt.system.terminal import printable

from microgpt_board.device import ports
from microgpt_board.device.ports import VIRTUAL
from microgpt_board.emulation.micropython import FLASH, Prompt
from microgpt_board.errors import ToolError

PATIENCE_S = 600  # for one command: the self-test of an emulated board takes some 100 s
FIRST_S = 120  # until the first output, and for each command of ampy
SLOWEST_BYTES_A_SECOND = 500  # ampy sends 32 bytes at a time
ANSWER_S = 60  # an emulated board on a busy computer takes that long to start
CTRL_D_S = 0.2  # how often to look whether the virtual board has ended
# The pause: with a USB of its own, a board that resets at once takes back its answer.
RESTART = "import machine, time; time.sleep_ms(100); machine.reset()"
FORGET = "import ugpt\nugpt.reset()"  # its checkpoints
TRACEBACK = "Traceback (most recent call last)"
RESET_IT = "press the board's RESET or EN button, or unplug it and plug it in,"


class NoAnswer(ToolError):
    """No MicroPython answers at the port, or not yet."""

    def __init__(self) -> None:
        super().__init__(
            f"no MicroPython answers: {RESET_IT} and try again, or put MicroPython on it with "
            "make flash"
        )


class NoProgram(ToolError):
    """MicroPython answers, and this program is not there."""

    def __init__(self) -> None:
        super().__init__("the board has no program yet: make deploy puts it there")


def until_answer(call: Callable[[], str]) -> str:
    """Return what `call` returns; while it raises NoAnswer, repeat it for ANSWER_S."""
    limit = time.monotonic() + ANSWER_S
    while True:
        try:
            return call()
        except NoAnswer:
            if time.monotonic() > limit:
                raise
            print("no answer: the board may be starting or saving; trying again", file=sys.stderr)


def failure(what: str, said: str) -> ToolError:
    """Return the error for a tool's output: NoAnswer, NoProgram, or `what` with its last line."""
    if "could not enter raw repl" in said:
        return NoAnswer()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if lines and lines[-1] == "ImportError: no module named 'ugpt'":
        return NoProgram()
    return ToolError(f"{what}: {lines[-1] if lines else 'no reason was given'}")


@dataclass(frozen=True)
class Changes:
    """The files to copy to the board and to remove from it, by their names there."""

    copy: list[str]
    remove: list[str]


def size_of(folder: Path, names: Sequence[str]) -> int:
    """Return the bytes of the files of these names in `folder`."""
    return sum((folder / name).stat().st_size for name in names)


class Remote:
    """A board through mpremote; each method is one connection.

    The first begins with a soft reset, and so does one after a failure or a start. `keep`: none
    does, since it ends the virtual board.
    """

    def __init__(self, port: str, keep: bool = False) -> None:
        self._port = port
        self._keep = keep
        self._at_prompt = False  # with nothing running: the last connection ended well
        self.reached = False

    def run(self, code: str, show: bool = False) -> str:
        """Return what `code` prints on the board; `show`: print it here too, as it comes."""
        return self._call("exec", code, show=show)

    def run_all(self, scripts: Sequence[str]) -> str:
        """Return what `scripts` print, run one after the other; each has the names of those before.

        They are compiled one at a time: a board has no memory for a long one.
        """
        with tempfile.TemporaryDirectory() as folder:
            words: list[str] = []
            for number, code in enumerate(scripts):
                path = Path(folder) / f"{number}.py"
                path.write_text(code, encoding="utf-8")
                words += ["run", str(path), "+"]
            patience = PATIENCE_S + sum(map(len, scripts)) / SLOWEST_BYTES_A_SECOND
            return self._call(*words[:-1], patience=patience)

    def change(self, folder: Path, changes: Changes, new: bool) -> None:
        """Copy files from `folder` and remove others; `new`: make the folder ugpt first."""
        words: list[str] = ["mkdir", ":ugpt", "+"] if new else []
        for name in changes.remove:
            words += ["rm", f":{name}", "+"]
        for name in changes.copy:
            words += ["cp", "-f", str(folder / name), f":{name}", "+"]
        if words:
            patience = PATIENCE_S + size_of(folder, changes.copy) / SLOWEST_BYTES_A_SECOND
            self._call(*words[:-1], show=True, patience=patience)

    def start(self, code: str) -> None:
        """Start `code` on the board without waiting for it to end."""
        self._call("exec", "--no-follow", code)
        self._at_prompt = False

    def restart(self) -> None:
        """Start the board's program again; return when the board's port is there."""
        with ports.across_reset(self._port):
            self.start(RESTART)

    def _call(self, *words: str, show: bool = False, patience: float | None = None) -> str:
        return until_answer(lambda: self._call_once(words, show, patience or PATIENCE_S))

    def _call_once(self, words: tuple[str, ...], show: bool, patience: float) -> str:
        command = [*_mpremote(self._port, self._keep or self._at_prompt), *words]
        self._at_prompt = False
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",  # whatever this computer's locale has
            errors="backslashreplace",
        ) as process:
            assert process.stdout and process.stderr  # both are pipes
            limit = _kill_after(process, patience if self.reached else min(patience, FIRST_S))
            lines: list[str] = []
            traceback: list[str] = []
            try:
                for line in process.stdout:
                    if not self.reached:
                        self.reached = True
                        limit.cancel()
                        limit = _kill_after(process, patience)
                    lines.append(line)
                    if traceback or line.startswith(TRACEBACK):
                        traceback.append(line)  # until its last line says what it is
                    elif show:
                        _show([line])
                lines += process.stderr.readlines()
                in_time = limit.is_alive()
            finally:
                limit.cancel()
        if not in_time:
            if not self.reached:
                raise NoAnswer
            raise ToolError(f"the board was not done in {patience:.0f} s: {RESET_IT} and try again")
        if process.returncode:
            error = failure("the board says", "".join(lines))
            if show and not isinstance(error, NoProgram):
                _show(traceback)
            self.reached = self.reached or not isinstance(error, NoAnswer)
            raise error
        if show:
            _show(traceback)
        self.reached = self._at_prompt = True
        return "".join(lines)


def _show(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line.rstrip("\r\n")), flush=True)


def _kill_after(process: "subprocess.Popen[str]", seconds: float) -> threading.Timer:
    """Start a timer that kills the process."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    return timer


def _mpremote(port: str, keep: bool) -> list[str]:
    """Return the command line of mpremote at a port."""
    return [sys.executable, "-um", "mpremote", "connect", port, *(["resume"] if keep else [])]


@contextmanager
def connect(named: str | None, flash: Path = FLASH) -> Iterator[Remote]:
    """Yield the board at the port that `ports.find_port` finds; restart its program at the end.

    At the port VIRTUAL it is the virtual board, whose flash is the folder `flash`. Raises
    ToolError if there is no board, or if it cannot be reached.
    """
    port = ports.find_port(named)
    if port == VIRTUAL:
        with Prompt(flash) as virtual:
            yield Remote(virtual.terminal, keep=True)
        return
    ports.check_port(port)
    board = Remote(port)
    try:
        yield board
    except BaseException:
        if board.reached:
            with suppress(ToolError):  # the first error is the one to report
                board.restart()
        raise
    if board.reached:
        board.restart()


def repl(named: str | None, flash: Path = FLASH) -> int:
    """Open the prompt of the board that `connect` would yield; return the terminal's exit code.

    The terminal is mpremote's; for a socket it is pyserial's, as mpremote's cannot wait for one.
    Raises ToolError also if standard input is not a terminal, which neither can read from.
    """
    port = ports.find_port(named)
    if port != VIRTUAL:
        ports.check_port(port)
    if not sys.stdin.isatty():
        raise ToolError("the prompt needs a terminal: for a script, use mpremote exec")
    if port == VIRTUAL:
        with (
            Prompt(flash, restarts=True) as virtual,
            subprocess.Popen(_mpremote(virtual.terminal, keep=True)) as process,
        ):
            while True:
                try:
                    return process.wait(CTRL_D_S)
                except subprocess.TimeoutExpired:
                    virtual.restart()
    if "://" in port:
        words = ["--raw", "--eol", "CR", port, str(ports.BAUD)]
        return subprocess.run([sys.executable, "-m", "serial.tools.miniterm", *words]).returncode
    return subprocess.run(_mpremote(port, keep=False)).returncode
