"""The table of boards: their memory, and which models are refused for it."""

import re
import subprocess

import pytest
from esptool.targets import CHIP_DEFS
from microgpt import boards as host
from microgpt.boards import BOARDS, Board
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, mpy
from ugpt import board as on_board
from ugpt import memory
from ugpt.layout import Sizes

LARGE = Sizes(60, n_embd=48, n_head=4, n_layer=4, block_size=64)  # 119,616 parameters


every = pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)


@every
def test_a_board_has_its_memory_and_no_more(board: Board) -> None:
    assert boards.find(board.name) == board
    assert 100_000 < board.memory.piece <= board.memory.free
    largest = host.largest(board.memory)
    boards.check(board, largest)
    with pytest.raises(ToolError):
        boards.check(board, Sizes(n_embd=largest.n_embd + 4))


@every
def test_a_row_is_true_to_esptool_mpy_cross_and_the_board(board: Board) -> None:
    assert board.architecture in mpy.ARCHITECTURES
    if board.bootloader is None:
        assert board.chip in boards.DRIVES
        assert board.chip not in CHIP_DEFS
    else:
        assert board.bootloader == CHIP_DEFS[board.chip].BOOTLOADER_FLASH_OFFSET
    number = mpy.ARCHITECTURES.index(board.architecture)
    assert board.fpu == (number not in on_board.WITHOUT_FPU)
    assert board.kernels == on_board.KERNELS.get(number)


@every
def test_a_release_is_named_as_micropython_names_it(board: Board) -> None:
    for release in board.releases:
        chosen = boards.find(board.name, release=release.version)
        assert chosen.releases == (release,)
        file = f"{board.name}-{release.date}-{release.version}{board.extension}"
        assert boards.url(chosen) == f"https://micropython.org/resources/firmware/{file}"
        assert release.sha256 is None or re.fullmatch("[0-9a-f]{64}", release.sha256)


def test_memory_that_is_not_measured_says_so() -> None:
    measured = [board.name for board in BOARDS.values() if "not measured" not in board.memory_from]
    assert measured == ["ESP32_GENERIC", "RPI_PICO2_W", "RPI_PICO"]
    assert all("measured" in board.memory_from for board in BOARDS.values())


def test_the_default_model_fits_every_board() -> None:
    for name in boards.NAMES:
        boards.check(boards.find(name), Sizes())


def test_a_model_that_is_too_large_is_refused_with_what_fits() -> None:
    with pytest.raises(ToolError) as error:
        boards.check(boards.find("ESP32_GENERIC"), LARGE)
    there = BOARDS["ESP32_GENERIC"].memory
    assert str(error.value) == "ESP32_GENERIC: " + memory.refusal(LARGE, there.free, there.piece)
    assert "\n" not in str(error.value)
    assert "what fits: N_EMBD=" in str(error.value)
    boards.check(boards.find("ESP32_GENERIC-SPIRAM"), LARGE)
    boards.check(boards.find("ESP32_GENERIC_S3-SPIRAM_OCT"), LARGE)


def test_an_esp32_as_emulated() -> None:
    """The first three were seen to train there for 1,000 steps."""
    board = boards.find("ESP32_GENERIC")
    tied = Sizes(n_embd=24, tie_lm_head=True)
    for sizes in (Sizes(n_embd=23, n_head=1), Sizes(n_layer=2), tied):
        boards.check(board, sizes)
    for sizes in (Sizes(n_embd=24, n_head=1), Sizes(n_embd=17, n_head=1, n_layer=2)):
        with pytest.raises(ToolError):
            boards.check(board, sizes)


def test_the_psram_of_another_module() -> None:
    def megabytes(name: str, psram: int) -> float:
        return boards.find(name, psram).memory.free / (1 << 20)

    s3 = boards.find("ESP32_GENERIC_S3")
    with pytest.raises(ToolError):
        boards.check(s3, LARGE)
    boards.check(boards.find("ESP32_GENERIC_S3", 2), Sizes(60, n_embd=48, n_layer=4))
    assert 1.5 < megabytes("ESP32_GENERIC_S3", 2) < 2
    assert 3.5 <= megabytes("ESP32_GENERIC_S3", 4) < 4
    assert 7 <= megabytes("ESP32_GENERIC_S3-SPIRAM_OCT", 8) < 8
    assert megabytes("ESP32_GENERIC-SPIRAM", 2) < 2
    # An ESP32 addresses 4 MB of it.
    assert megabytes("ESP32_GENERIC-SPIRAM", 8) == megabytes("ESP32_GENERIC-SPIRAM", 4)
    with pytest.raises(ToolError, match="does not use PSRAM: BOARD=ESP32_GENERIC-SPIRAM does"):
        boards.find("ESP32_GENERIC", 4)


@pytest.mark.parametrize("name", ["ESP32_GENERIC_C3", "ESP32_GENERIC_C6", "RPI_PICO2"])
def test_a_board_without_psram(name: str) -> None:
    with pytest.raises(ToolError, match=f"MicroPython's {name} does not use PSRAM$"):
        boards.find(name, 8)


def test_the_releases_with_a_known_checksum() -> None:
    known = {
        board.name: [release.version for release in board.releases if release.sha256]
        for board in BOARDS.values()
    }
    assert {name: versions for name, versions in known.items() if versions} == {
        "ESP32_GENERIC": ["v1.24.0", "v1.28.0"],
        "ESP32_GENERIC_S3": ["v1.28.0"],
        "ESP32_GENERIC_C3": ["v1.28.0"],
        "ESP32_GENERIC_C6": ["v1.28.0"],
    }


def test_a_name_in_any_case_and_a_release_without_its_v() -> None:
    assert boards.find("rpi_pico2").name == "RPI_PICO2"
    for version in ("1.28.0", "v1.28.0", "V1.28.0"):
        found = boards.find("esp32_generic_s3-spiram_oct", release=version)
        assert found.release.version == "v1.28.0"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pico2", "RPI_PICO2"),
        ("ESP32", "ESP32_GENERIC"),
        ("esp32-c3", "ESP32_GENERIC_C3"),
        ("PICO", "RPI_PICO"),
    ],
)
def test_a_name_that_is_nearly_one(name: str, meant: str) -> None:
    with pytest.raises(ToolError, match=rf"^no board is called {name}: did you mean {meant}\? BOA"):
        boards.find(name)


def test_an_unknown_release() -> None:
    with pytest.raises(ToolError) as error:
        boards.find("ESP32_GENERIC", release="v1.27.0")
    assert str(error.value) == (
        "no release v1.27.0 of MicroPython is known for ESP32_GENERIC: RELEASE= takes v1.24.0, "
        "v1.28.0; FIRMWARE= takes the file of any"
    )


@pytest.mark.parametrize(
    ("name", "drive"), [("RPI_PICO2", "RP2350"), ("RPI_PICO2_W", "RP2350"), ("RPI_PICO", "RPI-RP2")]
)
def test_what_to_do_with_a_board_without_esptool(name: str, drive: str) -> None:
    with pytest.raises(ToolError) as error:
        boards.bootloader(boards.find(name))
    assert str(error.value) == (
        f"a {BOARDS[name].title} has no image, since esptool does not write it: fetch "
        f"https://micropython.org/resources/firmware/{name}-20260406-v1.28.0.uf2, hold BOOTSEL "
        f"while you plug the board in, and copy the file to the drive {drive} that appears; then "
        "make deploy puts the program on it"
    )


def test_the_heap_of_the_virtual_board_is_that_of_a_board_and_the_program() -> None:
    board = boards.find("ESP32_GENERIC-SPIRAM")
    command = [find_micropython(), "-X", f"heapsize={boards.virtual_heap(board)}"]
    code = "import gc; print(gc.mem_alloc() + gc.mem_free())"
    total = int(subprocess.run([*command, "-c", code], capture_output=True, text=True).stdout)
    assert abs(total - board.memory.free - boards.VIRTUAL_PROGRAM) < 2048


@pytest.mark.parametrize(
    ("machine", "architecture", "heap", "pieces", "said"),
    [
        (
            "Generic ESP32 module with ESP32",
            "xtensawin",
            166_592,
            (110592, 14336, 10240, 3584),
            145_424,
        ),
        ("ESP32C3 module with ESP32C3", "rv32imc", 178_688, (114688, 26624, 9216, 5632), 167_939),
        ("mps2-an386 with Cortex-M4F", "armv7emsp", 447_232, (), 387_944),
    ],
)
def test_what_is_asked_before_the_program_is_there_is_what_the_program_has(
    machine: str, architecture: str, heap: int, pieces: tuple[int, ...], said: int
) -> None:
    """`heap` and `pieces` as deploy finds them on emulated boards, `said` by the program's log."""
    there = boards.memory_of(machine, architecture, heap, pieces, wide=False)
    assert said - 5000 < there.free <= said
    assert there.piece <= there.free
