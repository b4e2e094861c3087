"""The table of boards: what each is, its memory, MicroPython's releases for it, what was seen."""

from dataclasses import dataclass, replace

from ugpt import memory
from ugpt.app import SETTINGS
from ugpt.layout import Sizes

NOT_YET = "not yet"
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
# program is about to make its model: from 144,029 bytes. The piece is 1 % less than was there.
INTERNAL = Memory(free=144_000, piece=107_784)


def of_heap(free: int) -> Memory:
    """Return the memory of a board whose heap is one piece that does not grow."""
    return Memory(free, free)


@dataclass(frozen=True)
class Release:
    """A release of MicroPython for a board; `sha256` is None where it is not known here."""

    version: str
    date: str
    sha256: str | None = None


@dataclass(frozen=True)
class Board:
    """A board, by MicroPython's name of its build.

    `title` is a person's name for it, `chip` esptool's, or a Pico's, `architecture` that of its
    machine code as mpy-cross names it. `bootloader`: its offset in flash, in bytes; None where
    there is no image, for esptool does not write it. `memory_from` says where `memory` is from;
    `at_least`: it is a lower bound. The first of `releases` is the default. `psram`: MicroPython's
    build for it uses PSRAM. `emulated`, `real`: what was seen of it in an emulator, and for real.
    """

    name: str
    title: str
    chip: str
    architecture: str
    fpu: bool
    bootloader: int | None
    memory: Memory
    memory_from: str
    releases: tuple[Release, ...]
    at_least: bool = False
    psram: bool = False
    extension: str = ".bin"
    emulated: str = NOT_YET
    real: str = NOT_YET

    @property
    def kernels(self) -> str | None:
        """The native kernels it runs; None: it has no floating-point unit and runs the portable."""
        return self.architecture if self.fpu else None

    @property
    def release(self) -> Release:
        """The release that it gets."""
        return self.releases[0]

    @property
    def firmware(self) -> str:
        """The file with that release, as MicroPython names it."""
        return f"{self.name}-{self.release.date}-{self.release.version}{self.extension}"


AS_ESP32 = "not measured: taken to be at least that of an ESP32"
OF_PSRAM = "not measured: 7/8 of its PSRAM"
SEEN = "{}, with MicroPython {} as released, in {}"
V1_24, V1_28 = ("v1.24.0", "20241025"), ("v1.28.0", "20260406")

_ESP32 = Board(
    name="ESP32_GENERIC",
    title="ESP32",
    chip="esp32",
    architecture="xtensawin",
    fpu=True,
    bootloader=0x1000,
    memory=INTERNAL,
    memory_from="measured on Espressif's emulated ESP32, rounded down",
    releases=(
        Release(*V1_24, "648e655fdaa8c31ece4e8f2a5c7815b015a7bca1c8db56246287799164ad9bff"),
        Release(*V1_28, "cd7820d02c35d34dd403b44263129c6a511b350aea8446c229890753fe240784"),
    ),
    emulated="all verbs, with MicroPython v1.24.0 as released, in Espressif's QEMU",
)
_S3 = Board(
    name="ESP32_GENERIC_S3",
    title="ESP32-S3",
    chip="esp32s3",
    architecture="xtensawin",
    fpu=True,
    bootloader=0x0,
    memory=INTERNAL,
    memory_from=f"{AS_ESP32}; without PSRAM",
    at_least=True,
    psram=True,  # of four lines, if the module has any
    releases=(Release(*V1_28, "8c6039d40024cae3c6b04bb434f77901548f5487df9789af15548c54f9e11d7f"),),
)
_C3 = Board(
    name="ESP32_GENERIC_C3",
    title="ESP32-C3",
    chip="esp32c3",
    architecture="rv32imc",
    fpu=False,
    bootloader=0x0,
    memory=INTERNAL,
    memory_from=f"{AS_ESP32}; 167,939 were free on an emulated one with v1.25.0",
    at_least=True,
    emulated=SEEN.format("start and step 0 of training", "v1.25.0", "QEMU"),
    releases=(Release(*V1_28, "c749c22b6fe00cb8211a3b227ed6c0ce9babb518fd8f5a661f7496eb878fa895"),),
)
_PICO2 = Board(
    name="RPI_PICO2",
    title="Raspberry Pi Pico 2",
    chip="rp2350",
    architecture="armv7emsp",
    fpu=True,
    bootloader=None,
    # 400,112 with MicroPython 1.25; of the 436 KB of a Pico 2 W's heap with 1.29 some 385,300.
    memory=of_heap(384_000),
    memory_from="not measured: taken to be at least that of a Pico 2 W",
    at_least=True,
    extension=".uf2",
    releases=(Release(*V1_28),),
)
_PICO = replace(
    _PICO2,
    name="RPI_PICO",
    title="Raspberry Pi Pico",
    chip="rp2040",
    architecture="armv6m",
    fpu=False,
    memory=of_heap(183_000),
    memory_from="measured on an emulated Pico with v1.24.1, rounded down",
    at_least=False,
    emulated=SEEN.format("start and steps 0 to 10 of training", "v1.24.1", "rp2040js"),
)
BOARDS = {
    board.name: board
    for board in (
        _ESP32,
        replace(
            _ESP32,
            name="ESP32_GENERIC-SPIRAM",
            title="ESP32 with PSRAM",
            memory=with_psram(4),  # an ESP32 can address 4 MB, of a larger one too
            memory_from=f"{OF_PSRAM}; 4 MB",
            psram=True,
            releases=(Release(*V1_24), Release(*V1_28)),
            emulated=NOT_YET,
        ),
        _S3,
        replace(
            _S3,
            name="ESP32_GENERIC_S3-SPIRAM_OCT",
            title="ESP32-S3 with octal PSRAM",
            memory=with_psram(8),
            memory_from=f"{OF_PSRAM}; 8 MB",
            at_least=False,
            releases=(Release(*V1_28),),
        ),
        _C3,
        replace(
            _C3,
            name="ESP32_GENERIC_C6",
            title="ESP32-C6",
            chip="esp32c6",
            memory_from=AS_ESP32,
            emulated=NOT_YET,
            releases=(
                Release(*V1_28, "d338042d2dd87a00dad2163071f44bf67da1401e1d1d0686f2bb2e336e78f0e6"),
            ),
        ),
        _PICO2,
        replace(
            _PICO2,
            name="RPI_PICO2_W",
            title="Raspberry Pi Pico 2 W",
            # 390,464 in a heap as that of v1.29.0, on an emulated Cortex-M4F; 400,192 with v1.25.0
            # on an emulated Pico 2 W.
            memory_from="measured on emulated boards, v1.25.0 and v1.29.0, rounded down",
            at_least=False,
            emulated=SEEN.format(
                "runs of 1,000 steps and of 22,000 parameters, self-test, deploy",
                "v1.25.0",
                "rp2350js",
            ),
        ),
        _PICO,
        replace(
            _PICO,
            name="RPI_PICO_W",
            title="Raspberry Pi Pico W",
            memory=of_heap(120_000),
            memory_from="not measured: a Pico's, less 63,000 for its radio",
            at_least=True,
            emulated=NOT_YET,
        ),
    )
}


def largest(there: Memory) -> Sizes | None:
    """Return the widest model of the default shape that fits; None if there is none.

    Its heads, layers, block and tokens are those of the default model.
    """
    usual = Sizes()
    found = None
    for width in range(usual.n_head, int(SETTINGS["n_embd"][2]) + 1, usual.n_head):
        sizes = Sizes(n_embd=width)
        if not memory.fits(sizes, there.free, there.piece):
            break
        found = sizes
    return found


def refusal(name: str, sizes: Sizes, there: Memory | None = None) -> str | None:
    """Return why a board cannot train a model, and which sizes it can; None if it can.

    `there` is its memory, if that is another than the table has.
    """
    there = there or BOARDS[name].memory
    if memory.fits(sizes, there.free, there.piece):
        return None
    return f"{name}: {memory.refusal(sizes, there.free, there.piece)}"


def verdicts(sizes: Sizes) -> list[str]:
    """Return on which boards a model can be trained, a line, and then what fits the others.

    Boards with the same memory share a line.
    """
    groups: dict[Memory, list[str]] = {}
    for board in BOARDS.values():
        groups.setdefault(board.memory, []).append(board.name)
    enough, too_small = [], []
    for there, names in groups.items():
        these = f"{', '.join(names)} ({there.free:,} bytes free)"
        if memory.fits(sizes, there.free, there.piece):
            enough.append(these)
            continue
        fitting = memory.nearest(sizes, there.free, there.piece)
        settings = ", or ".join(memory.settings_of(other, sizes) for other in fitting)
        too_small.append(f"too large for {these}; what fits: {settings or 'no such model'}")
    return [f"it fits {', '.join(enough) or 'no board'}", *too_small]
