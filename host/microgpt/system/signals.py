"""How the signals end this program: Ctrl-C (SIGINT), SIGTERM, and SIGHUP of a closed terminal.

A signal that is ignored at the start, as by nohup, stays ignored.
"""

import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
Handler = Callable[[int, FrameType | None], object]


class Ended(KeyboardInterrupt):
    """The program has to end by a signal other than Ctrl-C's; what handles Ctrl-C handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(interruption: BaseException | None) -> int:
    """Return the exit code of a program that an interruption ended: 130 for Ctrl-C."""
    return 128 + (interruption.number if isinstance(interruption, Ended) else signal.SIGINT)


def end_at_once() -> None:
    """Let Ctrl-C end the program without a traceback, while it starts and has nothing to lose.

    An exception would do it less well: an import can turn it into another one.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)


def _end_at_once(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(exit_code(None))


def interruption_by(number: int) -> KeyboardInterrupt:
    """Return the exception that a signal raises: KeyboardInterrupt for Ctrl-C's, else Ended."""
    return KeyboardInterrupt() if number == signal.SIGINT else Ended(number)


@contextmanager
def raised() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at Ctrl-C, and Ended at the other signals."""
    with handled(_raise):
        yield


def _raise(number: int, _: FrameType | None) -> None:
    raise interruption_by(number)


class Held:
    """Signals that wait; `interruption` is the exception of the first that came, or None."""

    def __init__(self) -> None:
        self.interruption: KeyboardInterrupt | None = None
        self._raising = False

    def take(self, number: int, _: FrameType | None) -> None:
        """Raise the first signal in the block of `raised`; keep all others from any effect."""
        self.interruption = self.interruption or interruption_by(number)
        if self._raising:
            self._raising = False
            raise self.interruption

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the first signal, which came before or comes in the block."""
        self._raising = True
        try:
            if self.interruption:
                raise self.interruption
            yield
        finally:
            self._raising = False


@contextmanager
def held() -> Iterator[Held]:
    """Let the signals have no effect in the block, except where `Held.raised` says so.

    So a second Ctrl-C does not stop what the first one began.
    """
    waiting = Held()
    with handled(waiting.take):
        yield waiting


@contextmanager
def blocked() -> Iterator[None]:
    """Let Ctrl-C wait until after the block; processes that start in it begin with it blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_silently() -> None:
    """Let Ctrl-C end this process at once; the first act of one that started in `blocked`."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Let `handler` handle the signals in the block.

    Only the main thread can do this. A signal that is ignored stays so.
    """
    import threading  # here, since the program starts with `end_at_once`

    def handle(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT:
            _leave_terminal()
        handler(number, frame)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
        before = {n: was for n, was in before.items() if was not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _leave_terminal() -> None:
    """Let output go nowhere if its terminal is closed: writing there would be an error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            descriptor = stream.fileno()
            device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        except (OSError, ValueError, AttributeError):  # closed, or none
            continue
        if device and not os.isatty(descriptor):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
