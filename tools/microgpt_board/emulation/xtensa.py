"""Call machine code on an emulated Xtensa core with a floating-point unit, and count instructions.

The core is that of Debian's QEMU (qemu-system-misc): similar to the ESP32's, and repeatable to the
instruction.
"""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microgpt_board.errors import ToolError
from microgpt_board.image import native

PROGRAM = "qemu-system-xtensa"
SOURCE = Path(__file__).with_name("xtensa.c")
COMPILER = native.TARGETS["xtensawin"].compilers[0]  # clang
FEATURES = ("exception", "interrupt", "coprocessor", "timers1")
TIMEOUT_S = 120

RESET = 0xFE000000
TRAPS = (0x2300, 0x2340, 0x23C0)  # kernel, user and double exceptions
TABLE = 0x10000
CODE = 0x20000
DATA = 0x40000
GUARD = b"\xa5" * 32  # around each array: a kernel that writes there is refused

# An instruction takes 2**10 ns of the emulator's time, and the core's clock runs at 40 MHz.
SHIFT = 10
CYCLES = 2**SHIFT / 25


Array = NDArray[np.float32] | NDArray[np.uint32] | NDArray[np.uint8]
Places = dict[tuple[int, int], int]  # (begin, end) of an array on this machine: its address there


@dataclass
class Call:
    """A call of `name`; an array among the arguments is passed by address and changed in place.

    `run` sets `instructions`: those of the call, of the function and of its return.
    """

    name: str
    arguments: Sequence[int | Array]
    instructions: int = 0


def missing() -> str | None:
    """Return what to install before `run` can work, or None."""
    if not shutil.which(COMPILER[0]):
        return "no compiler for Xtensa: apt install clang-22"
    if not shutil.which(PROGRAM):
        return f"no {PROGRAM}: apt install qemu-system-misc"
    return None


def run(functions: dict[str, bytes], calls: Sequence[Call]) -> None:
    """Make the calls, one after the other.

    Raises ToolError if one ends in an exception or does not return, or a function wrote outside
    its arrays.
    """
    program = _program()
    memory = bytearray(DATA)
    addresses = _load(program, functions, memory)
    arrays = [a for call in calls for a in call.arguments if not isinstance(a, int)]
    places = _place(arrays, memory)
    end = len(memory)
    _write_table(calls, addresses, places, memory)
    after = bytes(memory[:TABLE]) + _emulate(program["reset"], memory)
    if len(after) != len(memory):
        raise ToolError(f"{PROGRAM} ended early")
    _read_instructions(calls, after)
    _read_arrays(arrays, places, memory, after)
    if after[DATA:end] != memory[DATA:end]:
        raise ToolError("a kernel wrote outside its arrays")


def _load(
    program: dict[str, bytes], functions: dict[str, bytes], memory: bytearray
) -> dict[str, int]:
    """Put the exception handlers and the functions into memory; return the functions' addresses."""
    for trap in TRAPS:
        memory[trap : trap + len(program["trap"])] = program["trap"]
    addresses = {}
    place = CODE
    for name, code in ({"start": program["start"]} | functions).items():
        addresses[name] = place
        memory[place : place + len(code)] = code
        place += len(code) + 3 & ~3
    assert place <= DATA
    return addresses


def _write_table(
    calls: Sequence[Call], addresses: dict[str, int], places: Places, memory: bytearray
) -> None:
    """Append the arguments to memory and write the table of calls; raise ToolError if too long."""
    argument_lists = []
    for call in calls:
        values = [a if isinstance(a, int) else places[_key(a)] for a in call.arguments]
        objects = [value << 1 | 1 for value in values]  # MicroPython's form of a small int
        argument_lists.append(struct.pack(f"<{len(objects)}i", *objects))
    rows = b""
    for call, arguments in zip(calls, argument_lists, strict=True):
        rows += struct.pack("<IIII", addresses[call.name], len(call.arguments), len(memory), 0)
        memory += arguments
    table = struct.pack("<IIII", len(calls), TABLE, len(memory) - TABLE, 0) + rows
    if TABLE + len(table) > CODE:
        raise ToolError(f"{len(calls)} calls are too many for one run")
    memory[TABLE : TABLE + len(table)] = table


def _read_instructions(calls: Sequence[Call], after: bytes) -> None:
    """Set the instructions of each call from the cycles in the table."""
    for i, call in enumerate(calls):
        (cycles,) = struct.unpack_from("<I", after, TABLE + 16 * i + 28)
        call.instructions = round(cycles / CYCLES) - 1  # less the one that reads the clock


def _read_arrays(arrays: Sequence[Array], places: Places, memory: bytearray, after: bytes) -> None:
    """Copy each array back, and into `memory`, which then differs only outside of them."""
    for array in arrays:
        place = places[_key(array)]
        array[...] = np.frombuffer(after, array.dtype, array.size, place).reshape(array.shape)
        memory[place : place + array.nbytes] = array.tobytes()


def _key(array: Array) -> tuple[int, int]:
    """Return where an array begins and ends on this machine."""
    return array.ctypes.data, array.ctypes.data + array.nbytes


def _place(arrays: Sequence[Array], memory: bytearray) -> Places:
    """Append the arrays to memory, GUARD around them; return their addresses.

    Arrays that share memory here share it there.
    """
    places = {}
    region_start = region_end = region_place = 0
    for array in sorted(arrays, key=_key):
        start, end = _key(array)
        if start >= region_end:
            memory += bytes(-len(memory) % 4) + GUARD
            region_place, region_start, region_end = len(memory), start, start
        place = places[start, end] = region_place + start - region_start
        memory += bytes(max(0, end - region_end))
        memory[place : place + array.nbytes] = array.tobytes()
        region_end = max(region_end, end)
    memory += bytes(-len(memory) % 4) + GUARD
    return places


@cache
def _program() -> dict[str, bytes]:
    """Return the functions of xtensa.c, which make the calls, as machine code."""
    command = COMPILER
    for feature in FEATURES:
        command += ("-Xclang", "-target-feature", "-Xclang", f"+{feature}")
    return native.compile_functions("xtensawin", command, SOURCE)


def _emulate(reset: bytes, memory: bytes | bytearray) -> bytes:
    """Run the program in memory; return what it wrote; raise ToolError."""
    with tempfile.TemporaryDirectory() as scratch:
        files = {RESET: Path(scratch, "reset.bin"), 0: Path(scratch, "memory.bin")}
        files[RESET].write_bytes(reset)
        files[0].write_bytes(memory)
        output = Path(scratch, "output.bin")
        command = [
            PROGRAM, "-M", "sim", "-cpu", "de233_fpu", "-semihosting",
            "-icount", f"shift={SHIFT}", "-display", "none", "-monitor", "none",
            "-serial", f"file:{output}",
        ]  # fmt: skip
        for address, file in files.items():
            command += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ToolError(f"a kernel did not return within {TIMEOUT_S} s") from None
        if result.returncode >= 64:
            raise ToolError(f"a kernel raised exception {result.returncode - 64}")
        if result.returncode:
            raise ToolError(f"{PROGRAM} failed: {result.stderr.strip()}")
        return output.read_bytes()
