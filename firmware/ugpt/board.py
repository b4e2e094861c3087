"""Every fact that differs between the ESP32, the virtual board and CPython, and only here."""

import gc
import os
import sys
import time

if sys.implementation.name != "micropython":
    NAME = "cpython"
elif sys.platform in ("linux", "darwin", "win32"):
    NAME = "virtual"
else:
    NAME = sys.platform  # "esp32", "rp2"

MACHINE = getattr(sys.implementation, "_machine", "")  # "Generic ESP32 module with ESP32"
ON_HARDWARE = NAME not in ("cpython", "virtual")
ROOT = "/" if ON_HARDWARE else ""  # where the file system with our files is
NAMES_TO_MAKE = None if ON_HARDWARE else 20  # after training; None: for ever
NAME_PAUSE_MS = 1000 if ON_HARDWARE else 0  # slowly enough to read
PARTITION = "names"
WHILE_LOADING = 4096  # bytes for `collect_every`


def description():
    """Return the machine and its MicroPython or Python version, without spaces."""
    version = ".".join(str(part) for part in sys.implementation.version[:3])
    return "%s-%s" % (NAME, version)


def has_fpu():
    """Return whether there is a floating-point unit: of the ESP32s with Xtensa the S2 has none."""
    return not (ON_HARDWARE and "S2" in MACHINE.rpartition(" with ")[2])


def free_memory():
    """Return the free heap in bytes; 0 in CPython, which does not say."""
    return gc.mem_free() if NAME != "cpython" else 0


def hardware_seed():
    """Return a seed from the hardware's random numbers, 1 to 2**32 - 1."""
    return int.from_bytes(os.urandom(4), "little") or 1


CTRL_C = 3

if ON_HARDWARE:
    import micropython

    def collect_every(size):
        """Collect garbage behind each `size` bytes that are allocated; -1: only at need.

        The heap grows when it is full, of garbage too, and what stays of that would split the
        room for the model's large buffers: 33 KB in one piece were not to be had in 66 KB.
        """
        gc.threshold(size)

    def hold_interrupts():
        """Let Ctrl-C wait until `release_interrupts`."""
        micropython.kbd_intr(-1)

    def release_interrupts():
        """Let Ctrl-C interrupt again."""
        micropython.kbd_intr(CTRL_C)

else:

    def collect_every(size):
        """Do nothing: a computer's heap has room."""

    def hold_interrupts():
        """Do nothing: a signal cannot wait here, and a key always does."""

    release_interrupts = hold_interrupts


if NAME == "cpython":

    def interrupt_waits():
        """Return that none does: Ctrl-C is a signal here."""
        return False

else:
    import select

    _keys = select.poll()
    _keys.register(sys.stdin, select.POLLIN)

    def interrupt_waits():
        """Return whether Ctrl-C waits; reads the keys up to it.

        On the virtual board this is how it comes. A signal would come at any point, in the middle
        of a garbage collection too, which MicroPython does not survive.
        """
        key = True
        while key:
            key = None
            for _ in _keys.ipoll(0):  # one at most; poll would make a list at each step
                key = sys.stdin.buffer.read(1)
                if not key:  # the end of the input
                    _keys.unregister(sys.stdin)
                elif key[0] == CTRL_C:
                    return True
        return False


if NAME == "cpython":
    rename = os.replace  # over what is there, on Windows too

    def ticks_us():
        """Return a time in microseconds, of use only to `elapsed_us`."""
        return time.perf_counter_ns() // 1000

    def elapsed_us(start):
        """Return the microseconds since ticks_us() gave `start`."""
        return ticks_us() - start

    def pause_ms(duration):
        """Do nothing for `duration` milliseconds."""
        time.sleep(duration / 1000)

else:
    rename = os.rename
    ticks_us = time.ticks_us
    pause_ms = time.sleep_ms

    def elapsed_us(start):
        """Return the microseconds since ticks_us() gave `start`, up to 9 minutes."""
        return time.ticks_diff(time.ticks_us(), start)


class _File:
    """A source for `dataset.Dataset`: the bytes of a file."""

    def __init__(self, name):
        self.name = name
        self._file = open(name, "rb")  # noqa: SIM115 - open as long as the run

    def readinto(self, offset, buffer):
        self._file.seek(offset)
        return self._file.readinto(buffer)


class _Partition:
    """A source for `dataset.Dataset`: the bytes of a flash partition."""

    BLOCK_SIZE = 4096

    def __init__(self, partition):
        self.name = "partition " + PARTITION
        self._partition = partition

    def readinto(self, offset, buffer):
        block, start = divmod(offset, self.BLOCK_SIZE)
        self._partition.readblocks(block, buffer, start)
        return len(buffer)


def open_names():
    """Return the source of the documents: the partition, or the file names.bin.

    Raises OSError where there is neither.
    """
    if NAME == "esp32":
        from esp32 import Partition

        found = Partition.find(Partition.TYPE_DATA, label=PARTITION)
        if found:
            return _Partition(found[0])
    return _File(ROOT + "names.bin")
