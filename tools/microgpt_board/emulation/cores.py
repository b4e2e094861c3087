"""Call machine code on emulated cores with a floating-point unit, and count instructions.

The cores are those of Debian's QEMU, without an operating system, and repeatable to the
instruction. The Xtensa core is similar to the ESP32's.
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

TIMEOUT_S = 120

# Where things are in a core's memory, from its `base` on. The stack grows down from the table.
TRAPS = (0x2300, 0x2340, 0x23C0)  # Xtensa: kernel, user and double exceptions; Cortex-M: the first
TABLE = 0x10000
CODE = 0x20000
DATA = 0x40000
GUARD = b"\xa5" * 32  # around each array: a kernel that writes there is refused

# An instruction takes 2**10 ns of the emulator's time. A core's clock moves with this time.
SHIFT = 10

# What the programs in C end the emulator with.
REGISTERS_LOST = 63
TRAPPED = 64  # and the number of the exception
OUTPUT = "output.bin"


@dataclass(frozen=True)
class Core:
    """An emulated core: its machine, and the program in C that makes the calls there."""

    name: str
    architecture: str  # of the kernels that it runs
    program: str
    package: str  # of Debian, with the program
    options: tuple[str, ...]  # the machine and where its output goes
    source: str
    features: tuple[str, ...]  # of the core, for the compiler: those that kernels do not use
    reset: int  # the address of what the core reads at its start
    base: int  # of its memory; all addresses are below 2**30, to be small ints
    size: int
    clock: int  # the address of its clock, if it has one
    clock_ns: int  # the time in which the clock moves by 1

    @property
    def compiler(self) -> tuple[str, ...]:
        """The command line of the compiler, clang, for its architecture."""
        return native.TARGETS[self.architecture].compilers[0]


def _cortex_m(
    name: str, machine: str, reset: int, base: int, size: int, clock: int, clock_ns: int
) -> Core:
    """Return the Cortex-M core of one of Arm's MPS2 boards; it runs code for a Cortex-M4F."""
    options = ("-M", machine, "-semihosting-config", "enable=on,target=native")
    return Core(
        name, "armv7emsp", "qemu-system-arm", "qemu-system-arm", options, "cortex_m.c",
        (f"-DBASE={base:#x}",), reset, base, size, clock, clock_ns,
    )  # fmt: skip


XTENSA = Core(
    "Xtensa",
    "xtensawin",
    "qemu-system-xtensa",
    "qemu-system-misc",
    ("-M", "sim", "-cpu", "de233_fpu", "-semihosting", "-serial", f"file:{OUTPUT}"),
    "xtensa.c",
    tuple(
        word
        for feature in ("exception", "interrupt", "coprocessor", "timers1")
        for word in ("-Xclang", "-target-feature", "-Xclang", f"+{feature}")
    ),
    reset=0xFE000000,
    base=0,
    size=2**27,
    clock=0,
    clock_ns=25,
)
CORTEX_M4 = _cortex_m("Cortex-M4", "mps2-an386", 0, 0x21000000, 2**24, 0x40002004, 40)
CORTEX_M7 = _cortex_m("Cortex-M7", "mps2-an500", 0, 0x20000000, 2**22, 0x40002004, 40)
CORTEX_M33 = _cortex_m("Cortex-M33", "mps2-an505", 2**28, 0x38000000, 2**22, 0x50002004, 50)
CORES = (XTENSA, CORTEX_M4, CORTEX_M7, CORTEX_M33)


Array = NDArray[np.float32] | NDArray[np.uint32] | NDArray[np.uint8]
Places = dict[tuple[int, int], int]  # (begin, end) of an array on this machine: its place there


@dataclass
class Call:
    """A call of `name`; an array among the arguments is passed by address and changed in place.

    `run` sets `instructions`: those of the call, of the function and of its return.
    """

    name: str
    arguments: Sequence[int | Array]
    instructions: int = 0


def missing(core: Core) -> str | None:
    """Return what to install before `run` can work on this core, or None."""
    if not shutil.which(core.compiler[0]):
        return f"no compiler for {core.name}: apt install {core.compiler[0]}"
    if not shutil.which(core.program):
        return f"no {core.program}: apt install {core.package}"
    return None


def run(core: Core, functions: dict[str, bytes], calls: Sequence[Call]) -> None:
    """Make the calls, one after the other.

    Raises ToolError if one ends in an exception or does not return, a function wrote outside its
    arrays or lost its caller's registers, or the core's memory is too small.
    """
    program = _program(core)
    memory = bytearray(DATA)
    places = _load(program, functions, memory)
    arrays = [a for call in calls for a in call.arguments if not isinstance(a, int)]
    array_places = _place(arrays, memory)
    end = len(memory)
    _write_table(core, calls, places, array_places, memory)
    if len(memory) > core.size:
        raise ToolError(f"{len(memory):,} bytes are too many for the emulated {core.name}")
    after = bytes(memory[:TABLE]) + _emulate(core, program["reset"], memory)
    if len(after) != len(memory):
        raise ToolError(f"{core.program} ended early")
    _read_instructions(core, calls, after)
    _read_arrays(arrays, array_places, memory, after)
    if after[DATA:end] != memory[DATA:end]:
        raise ToolError("a kernel wrote outside its arrays")


def _load(
    program: dict[str, bytes], functions: dict[str, bytes], memory: bytearray
) -> dict[str, int]:
    """Put the exception handlers and the functions into memory; return the functions' places."""
    for trap in TRAPS:
        memory[trap : trap + len(program["trap"])] = program["trap"]
    places = {}
    place = CODE
    for name, code in ({"start": program["start"]} | functions).items():
        places[name] = place
        memory[place : place + len(code)] = code
        place += len(code) + 3 & ~3
    assert place <= DATA
    return places


def _write_table(
    core: Core,
    calls: Sequence[Call],
    places: dict[str, int],
    array_places: Places,
    memory: bytearray,
) -> None:
    """Append the arguments to memory and write the table of calls; raise ToolError if too long."""
    argument_lists = []
    for call in calls:
        values = [
            a if isinstance(a, int) else core.base + array_places[_key(a)] for a in call.arguments
        ]
        objects = [value << 1 | 1 for value in values]  # MicroPython's form of a small int
        argument_lists.append(struct.pack(f"<{len(objects)}i", *objects))
    rows = b""
    for call, arguments in zip(calls, argument_lists, strict=True):
        function, begin = core.base + places[call.name], core.base + len(memory)
        rows += struct.pack("<IIII", function, len(call.arguments), begin, 0)
        memory += arguments
    output = core.base + TABLE, len(memory) - TABLE
    table = struct.pack("<IIII", len(calls), *output, core.clock) + rows
    if TABLE + len(table) > CODE:
        raise ToolError(f"{len(calls)} calls are too many for one run")
    memory[TABLE : TABLE + len(table)] = table


def _read_instructions(core: Core, calls: Sequence[Call], after: bytes) -> None:
    """Set the instructions of each call from the time in the table."""
    for i, call in enumerate(calls):
        (time,) = struct.unpack_from("<I", after, TABLE + 16 * i + 28)
        # Less the instruction that reads the clock.
        call.instructions = round(time * core.clock_ns / 2**SHIFT) - 1


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
    """Append the arrays to memory, GUARD around them; return their places.

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
def _program(core: Core) -> dict[str, bytes]:
    """Return the functions that make the calls, as machine code."""
    source = Path(__file__).with_name(core.source)
    return native.compile_functions(core.architecture, core.compiler + core.features, source)


def _emulate(core: Core, reset: bytes, memory: bytes | bytearray) -> bytes:
    """Run the program in memory; return what it wrote; raise ToolError."""
    with tempfile.TemporaryDirectory() as scratch:
        files = {core.reset: Path(scratch, "reset.bin"), core.base: Path(scratch, "memory.bin")}
        files[core.reset].write_bytes(reset)
        files[core.base].write_bytes(memory)
        command = [
            core.program, *core.options, "-icount", f"shift={SHIFT}",
            "-display", "none", "-monitor", "none",
        ]  # fmt: skip
        for address, file in files.items():
            command += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
        try:
            result = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise ToolError(f"a kernel did not return within {TIMEOUT_S} s") from None
        if result.returncode >= TRAPPED:
            raise ToolError(f"a kernel raised exception {result.returncode - TRAPPED}")
        if result.returncode == REGISTERS_LOST:
            raise ToolError("a kernel did not keep its caller's registers")
        if result.returncode:
            raise ToolError(f"{core.program} failed: {result.stderr.strip()}")
        return Path(scratch, OUTPUT).read_bytes()
