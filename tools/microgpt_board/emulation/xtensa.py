"""Call machine code on an emulated Xtensa core with a floating-point unit, and count instructions.

The core is Debian's QEMU (qemu-system-misc): nearly that of the ESP32, and repeatable to the
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
GUARD = b"\xa5" * 32  # around each array: a kernel must not write there

# An instruction takes 2**10 ns of the emulator's time, and the core's clock runs at 40 MHz.
SHIFT = 10
CYCLES = 2**SHIFT / 25


@dataclass
class Call:
    """A call of `name`; an array among the arguments is passed by address and changed in place.

    `instructions` is set by `run`: those of the call, of the function and of its return.
    """

    name: str
    arguments: Sequence[int | np.ndarray]
    instructions: int = 0


def missing() -> str | None:
    """Return what to install before `run` can work, or None."""
    if not shutil.which(COMPILER[0]):
        return "no compiler for Xtensa: apt install clang-22"
    if not shutil.which(PROGRAM):
        return f"no {PROGRAM}: apt install qemu-system-misc"
    return None


def run(functions: dict[str, bytes], calls: Sequence[Call]) -> None:
    """Make the calls, one after the other; raise ToolError if one of them ends in an exception."""
    memory = bytearray(DATA)
    program = _program()
    for trap in TRAPS:
        memory[trap : trap + len(program["trap"])] = program["trap"]
    addresses = {}
    place = CODE
    for name, code in ({"start": program["start"]} | functions).items():
        addresses[name] = place
        memory[place : place + len(code)] = code
        place += len(code) + 3 & ~3
    assert place <= DATA

    arrays = [a for call in calls for a in call.arguments if isinstance(a, np.ndarray)]
    places = _place(arrays, memory)
    argument_tables = []
    for call in calls:
        values = [a if isinstance(a, int) else places[_key(a)] for a in call.arguments]
        objects = [value << 1 | 1 for value in values]  # as MicroPython has its small ints
        argument_tables.append(struct.pack(f"<{len(objects)}i", *objects))

    end = len(memory)
    table = b""
    for call, arguments in zip(calls, argument_tables, strict=True):
        table += struct.pack("<IIII", addresses[call.name], len(call.arguments), len(memory), 0)
        memory += arguments
    table = struct.pack("<IIII", len(calls), TABLE, len(memory) - TABLE, 0) + table
    if TABLE + len(table) > CODE:
        raise ToolError(f"{len(calls)} calls are too many for one run")
    memory[TABLE : TABLE + len(table)] = table

    after = memory[:TABLE] + _emulate(program["reset"], memory)
    if len(after) != len(memory):
        raise ToolError(f"{PROGRAM} ended early")
    for i, call in enumerate(calls):
        (cycles,) = struct.unpack_from("<I", after, TABLE + 16 * i + 28)
        call.instructions = round(cycles / CYCLES) - 1  # less the one that reads the clock
    for array in arrays:
        place = places[_key(array)]
        array[...] = np.frombuffer(after, array.dtype, array.size, place).reshape(array.shape)
        memory[place : place + array.nbytes] = array.tobytes()
    if after[DATA:end] != memory[DATA:end]:
        raise ToolError("a kernel wrote outside its arrays")


def _key(array: np.ndarray) -> tuple[int, int]:
    """Return where an array begins and ends on this machine."""
    return array.ctypes.data, array.ctypes.data + array.nbytes


def _place(arrays: list[np.ndarray], memory: bytearray) -> dict[tuple[int, int], int]:
    """Append the arrays to memory, GUARD around them; return their places.

    Arrays that share memory here share it there.
    """
    places = {}
    region_end = region_place = 0
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
    command = COMPILER
    for feature in FEATURES:
        command += ("-Xclang", "-target-feature", "-Xclang", f"+{feature}")
    return native.compile_functions("xtensawin", command, SOURCE)


def _emulate(reset: bytes, memory: bytes) -> bytes:
    """Return what the emulated program wrote."""
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
