"""The table of boards: their memory, and which models are refused for it."""

import subprocess

import pytest
from microgpt import boards as host
from microgpt_board.emulation.micropython import find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import boards
from ugpt import memory
from ugpt.layout import Sizes

LARGE = Sizes(60, n_embd=48, n_head=4, n_layer=4, block_size=64)  # 119,616 parameters


def test_every_board_has_its_memory_and_no_more() -> None:
    assert set(boards.NAMES) == set(host.MEMORY)
    for name in boards.NAMES:
        there = boards.find(name).memory
        assert there == host.MEMORY[name]
        assert 100_000 < there.piece <= there.free


def test_the_default_model_fits_every_board() -> None:
    for name in boards.NAMES:
        boards.check(boards.find(name), Sizes())


def test_a_model_that_is_too_large_is_refused_with_what_fits() -> None:
    with pytest.raises(ToolError) as error:
        boards.check(boards.find("ESP32_GENERIC"), LARGE)
    there = host.MEMORY["ESP32_GENERIC"]
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


def test_only_a_release_with_a_known_hash_is_fetched() -> None:
    known = [name for name in boards.NAMES if boards.find(name).sha256]
    assert known == ["ESP32_GENERIC"]
    for name in boards.NAMES:
        assert boards.find(name).firmware == f"{name}-20241025-v1.24.0.bin"


def test_the_heap_of_the_virtual_board_is_that_of_a_board_and_the_program() -> None:
    board = boards.find("ESP32_GENERIC-SPIRAM")
    command = [find_micropython(), "-X", f"heapsize={boards.virtual_heap(board)}"]
    code = "import gc; print(gc.mem_alloc() + gc.mem_free())"
    total = int(subprocess.run([*command, "-c", code], capture_output=True, text=True).stdout)
    assert abs(total - board.memory.free - boards.VIRTUAL_PROGRAM) < 2048
