"""The boards by MicroPython's names of its builds, the memory of each, and what does not fit it."""

from dataclasses import dataclass

from ugpt import memory
from ugpt.layout import Sizes

PSRAM = (2, 4, 8)  # the sizes of PSRAM on modules, in MB


@dataclass(frozen=True)
class Memory:
    """Bytes that are free once the board's program is loaded, in all and in one piece."""

    free: int
    piece: int


def with_psram(megabytes: int) -> Memory:
    """Return the memory of a board with PSRAM, all of which MicroPython's heap grows into.

    An 8th is left out. MicroPython's own tables take 2.5 %, and its largest new piece was 8,257,536
    of 8 MB and 1,998,848 of 2 MB (github.com/micropython/micropython, issue 12237 and pull request
    12141); the rest is what is lost between pieces.
    """
    free = megabytes * (1 << 20) * 7 // 8
    return Memory(free, free)


# As `ugpt.memory.available` has it on Espressif's emulated ESP32, with MicroPython 1.24.0, when the
# program is about to make its model: from 144,045 bytes. The piece is 1 % less than was there.
INTERNAL = Memory(free=144_000, piece=107_784)
MEMORY = {
    "ESP32_GENERIC": INTERNAL,
    "ESP32_GENERIC-SPIRAM": with_psram(4),  # an ESP32 can address 4 MB, of a larger one too
    "ESP32_GENERIC_S3": INTERNAL,  # a lower bound: a module without PSRAM; not measured
    "ESP32_GENERIC_S3-SPIRAM_OCT": with_psram(8),
}


def refusal(name: str, sizes: Sizes, there: Memory | None = None) -> str | None:
    """Return why a board cannot train a model, and which sizes it can; None if it can.

    `there` is its memory, if that is another than the table has.
    """
    there = there or MEMORY[name]
    if memory.fits(sizes, there.free, there.piece):
        return None
    return f"{name}: {memory.refusal(sizes, there.free, there.piece)}"
