"""Everything that differs between families of boards, the virtual board, a tab and CPython."""

import gc
import os
import sys
import time

IN_BROWSER = sys.platform == "webassembly"  # a virtual board too, and often not in a browser

if sys.implementation.name != "micropython":
    NAME = "cpython"
elif sys.platform in ("linux", "darwin", "win32") or IN_BROWSER:
    NAME = "virtual"
else:
    NAME = sys.platform  # "esp32", "rp2"

MACHINE = getattr(sys.implementation, "_machine", "")  # "Generic ESP32 module with ESP32"
ON_HARDWARE = NAME not in ("cpython", "virtual")
ROOT = ""  # the folder of the program's files, with a / at its end; "": the current one
if ON_HARDWARE:
    # Where the file system is: "/", or "/flash/" as on an STM32. The package is there, or in lib.
    ROOT = __file__ if __file__[0] == "/" else os.getcwd() + "/" + __file__
    ROOT = ROOT.rsplit("/", 2)[0]
    if ROOT.endswith("/lib"):
        ROOT = ROOT[:-4]
    if ROOT == "/rom":  # nothing can be written there
        ROOT = os.getcwd()
    ROOT = ROOT.rstrip("/") + "/"
NAMES_TO_MAKE = None if ON_HARDWARE else 20  # after training; None: without end
NAME_PAUSE_MS = 1000 if ON_HARDWARE else 0  # so that a person can read them
# The number of the machine code that this MicroPython loads, 0: none. Bits above it are flags.
ARCHITECTURE = getattr(sys.implementation, "_mpy", 0) >> 10 & 0xF
KERNELS = {2: "x64", 7: "armv7emsp", 8: "armv7emsp", 10: "xtensawin"}  # armv7emdp runs both
WITHOUT_FPU = (3, 4, 5, 6, 9, 11)  # armv6, armv6m, armv7m, armv7em, xtensa, rv32imc
OUT_OF_REACH = "heap-out-of-reach"  # a reason: native kernels cannot use a buffer of the model
PARTITION = "names"
NAMES = "names.bin"
WHILE_LOADING = 4096  # bytes, for `collect_every` while modules are loaded


def description():
    """Return the machine and its MicroPython or Python version, such as "esp32-1.24.0"."""
    version = ".".join(str(part) for part in sys.implementation.version[:3])
    return "%s-%s" % (NAME, version)


def has_fpu():
    """Return whether there is a floating-point unit.

    MicroPython's architecture says it, but for the ESP32-S2, which has an ESP32's without one, and
    the ESP32-P4, which has an ESP32-C3's with one.
    """
    chip = MACHINE.rpartition(" with ")[2] if NAME == "esp32" else ""
    return "S2" not in chip and (ARCHITECTURE not in WITHOUT_FPU or "P4" in chip)


def kernels_file(architecture):
    """Return the name of the file with the kernels for an architecture, None if there are none."""
    if IN_BROWSER:
        return "kernels.wasm"
    name = KERNELS.get(architecture)
    return name and "kernels_%s.mpy" % name


def free_memory():
    """Return the free heap in bytes; 0 in CPython, where it is not known."""
    return gc.mem_free() if NAME != "cpython" else 0


def memory_pieces():
    """Return the free pieces of memory by which an ESP32's heap can grow, the largest first.

    [] elsewhere: there the heap does not grow.
    """
    if NAME != "esp32":
        return []
    import esp32

    return sorted((region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)), reverse=True)


def hardware_seed():
    """Return a seed, 1 to 2**32 - 1, from the hardware's random numbers.

    From the time since it started where there are none, as on some STM32s and nRF52s.
    """
    if not hasattr(os, "urandom"):
        return ticks_us() & 0xFFFFFFFF or 1
    return int.from_bytes(os.urandom(4), "little") or 1


CTRL_C = 3

if NAME == "cpython" or IN_BROWSER or not hasattr(gc, "threshold"):  # a SAMD's build has none

    def collect_every(size):
        """Do nothing: a computer has enough memory."""

else:

    def collect_every(size):
        """Collect garbage after every `size` bytes allocated; -1: only when memory runs out.

        Garbage that fills the heap makes it grow, and fragments the memory that the model's large
        buffers need: of 66 KB free, no 33 KB were in one piece.
        """
        gc.threshold(size)


if ON_HARDWARE:
    import micropython

    def hold_interrupts():
        """Delay Ctrl-C until `release_interrupts`."""
        micropython.kbd_intr(-1)

    def release_interrupts():
        """Let Ctrl-C raise KeyboardInterrupt again."""
        micropython.kbd_intr(CTRL_C)

else:

    def hold_interrupts():
        """Do nothing: CPython cannot delay Ctrl-C, the virtual board reads it between steps."""

    release_interrupts = hold_interrupts


if NAME == "cpython" or IN_BROWSER:

    def interrupt_waits():
        """Return False: Ctrl-C is a signal in CPython, and a browser's tab has no keys to read."""
        return False

else:
    import select

    _keys = select.poll()
    _keys.register(sys.stdin, select.POLLIN)

    def interrupt_waits():
        """Return whether Ctrl-C is in the input; reads all keys up to it.

        The virtual board gets Ctrl-C only in this way: a signal could arrive during a garbage
        collection, where it crashes MicroPython.
        """
        key = True
        while key:
            key = None
            for _ in _keys.ipoll(0):  # at most one; poll() would allocate a list each time
                key = sys.stdin.buffer.read(1)
                if not key:  # the end of the input
                    _keys.unregister(sys.stdin)
                elif key[0] == CTRL_C:
                    return True
        return False


# The errors of a file that is not there and of a full file system: WASI's numbers in WebAssembly.
ENOENT, ENOSPC = (44, 51) if IN_BROWSER else (2, 28)

if NAME == "cpython":
    rename = os.replace  # replaces an existing file, on Windows too

    def ticks_us():
        """Return a time in microseconds, for `elapsed_us` only."""
        return time.perf_counter_ns() // 1000

    def elapsed_us(start):
        """Return the microseconds since `start`, a result of `ticks_us`."""
        return ticks_us() - start

    def pause_ms(duration):
        """Wait for `duration` milliseconds."""
        time.sleep(duration / 1000)

else:
    rename = os.rename
    ticks_us = time.ticks_us
    pause_ms = time.sleep_ms

    def elapsed_us(start):
        """Return the microseconds since `start`, a result of `ticks_us`; at most 9 minutes."""
        return time.ticks_diff(time.ticks_us(), start)


class _File:
    """A source for `dataset.Dataset`: the bytes of a file."""

    def __init__(self, name):
        self.name = name
        self._file = open(name, "rb")  # noqa: SIM115 - stays open for the whole run

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
    """Return the source of the documents: the partition, or else the file names.bin.

    One in ROOT is the person's own; the other is beside the package, as mip puts it there. Raises
    OSError if there is none.
    """
    if NAME == "esp32":
        from esp32 import Partition

        found = Partition.find(Partition.TYPE_DATA, label=PARTITION)
        if found:
            return _Partition(found[0])
    try:
        return _File(ROOT + NAMES)
    except OSError:
        return _File(__file__.rpartition("ugpt/")[0] + NAMES)
