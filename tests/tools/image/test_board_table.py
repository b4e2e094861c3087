"""The table of boards as it is printed: on a terminal, in a pipe, and all about one board."""

import re

import pytest
from microgpt import boards as host
from microgpt.boards import BOARDS
from microgpt_board.image import board_table
from rich.console import Console

from tests.support.commands import microgpt_board

WIDTH = 80  # of most terminals


def shown(**settings: object) -> list[str]:
    """Return the table as a terminal has it."""
    settings = {"width": WIDTH, **settings}
    console = Console(force_terminal=True, highlight=False, **settings)
    with console.capture() as captured:
        console.print(board_table.table())
    return captured.get().splitlines()


def test_the_table_is_readable_at_80_columns() -> None:
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in shown()]
    assert all(len(line) <= WIDTH for line in lines)
    assert len(lines) == 1 + 2 * (len(BOARDS) + 1)  # no cell is folded
    assert lines[-1].startswith("with MicroPython ")
    for board in BOARDS.values():
        (row,) = (i for i, line in enumerate(lines) if line.startswith(f"{board.name} "))
        assert lines[row + 1].startswith(f"{board.title} ")
        assert f" {board.memory.free:,} " in lines[row]
        assert f" N_EMBD={host.largest(board.memory).n_embd} " in lines[row + 1]
        assert (" native " in lines[row + 1]) == board.fpu != (" no FPU " in lines[row + 1])


@pytest.mark.parametrize("width", [40, 60, 76, 80])
def test_a_name_to_copy_is_never_folded(width: int) -> None:
    lines = [line.split(" ")[0] for line in shown(width=width)]
    assert set(BOARDS) <= set(lines)


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[2m" in "".join(shown(color_system="standard"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(?:\d+;)*[3-4]\d", "".join(shown(color_system="standard")))


def test_in_a_pipe_it_is_all_about_each_board() -> None:
    *blocks, other, report = microgpt_board("boards").stdout.split("\n\n")
    assert len(blocks) == len(BOARDS)
    for block, board in zip(blocks, BOARDS.values(), strict=True):
        assert block.startswith(f"board: {board.name}: {board.title}\nchip: {board.chip}, ")
        assert all(each.sha256 in block for each in board.releases if each.sha256)
        assert block.endswith("\nreal: not yet")
    assert other.startswith("board: any other that runs MicroPython\nneeds: ")
    assert report.endswith("docs/board.md#send-what-yours-says\n")


def test_all_that_is_known_of_a_board() -> None:
    assert microgpt_board("boards", "ESP32_GENERIC").stdout.splitlines() == [
        "board: ESP32_GENERIC: ESP32",
        "chip: esp32, with a floating-point unit",
        "memory: 144,000 bytes to train in, 107,784 of them in one piece (measured on Espressif's "
        "emulated ESP32, rounded down)",
        "largest: 6,200 parameters, the widest of the default's shape (N_EMBD=20)",
        "kernels: native, xtensawin",
        "written: make flash BOARD=ESP32_GENERIC: an image at 0x0, with the bootloader at 0x1000",
        "release v1.24.0, the default: "
        "https://micropython.org/resources/firmware/ESP32_GENERIC-20241025-v1.24.0.bin "
        "sha256 648e655fdaa8c31ece4e8f2a5c7815b015a7bca1c8db56246287799164ad9bff",
        "release v1.28.0: "
        "https://micropython.org/resources/firmware/ESP32_GENERIC-20260406-v1.28.0.bin "
        "sha256 cd7820d02c35d34dd403b44263129c6a511b350aea8446c229890753fe240784",
        "emulated: all verbs, with MicroPython v1.24.0 as released, in Espressif's QEMU",
        "real: not yet",
        "how to report one: docs/board.md#send-what-yours-says",
    ]


@pytest.mark.parametrize("name", ["ESP32_GENERIC-SPIRAM", "ESP32_GENERIC_S3-SPIRAM_OCT"])
def test_what_can_be_saved_of_a_board_that_trains_more(name: str) -> None:
    assert board_table.facts(BOARDS[name])["saved"] == (
        "at most 31,008 parameters of that shape (N_EMBD=48): flash for checkpoints"
    )


def test_a_board_without_an_image_or_a_floating_point_unit() -> None:
    lines = microgpt_board("boards", "RPI_PICO").stdout.splitlines()
    assert microgpt_board("boards", "--board", "rpi_pico").stdout.splitlines() == lines
    assert "kernels: portable: no floating-point unit" in lines
    assert "written: hold BOOTSEL, copy the UF2 to the drive RPI-RP2, then make deploy" in lines


def test_any_other_board_and_no_board() -> None:
    assert "needs: MicroPython 1.23 or later" in microgpt_board("boards", "other").stdout
    refused = microgpt_board("boards", "PYBV11")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: no board is called PYBV11: BOARD= takes ESP32_GENERIC")
