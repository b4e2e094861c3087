"""Bytes from a port become lines, however they are chopped, and never drive a terminal."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from microgpt.system.terminal import printable
from microgpt_board.device import log
from microgpt_board.device.serial_lines import LONGEST_LINE, LineSplitter, read_lines
from microgpt_board.errors import ToolError

from tests.support.serial_board import SerialEnd

# What an ESP32 sends after a reset, in the ROM's and in MicroPython's words, with noise before.
CAPTURED = (
    b"\x00\xff\xe2\x80step:19 lo\r\n"
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"entry 0x400805b0\r\n"
    b"# microgpt-esp32 0.1.0 board:esp32-1.24.0 kernels:portable reason:no-kernels_xtensawin.mpy "
    b"seed:42 parameters:4192 steps:1000 data:32469\r\n"
    b"step:0 loss:3.3872 mean:3.3872 lr:0.01000 ms:514.4 free:49328\r\n"
    b"name:arona\nname:h\xc3\xa9l\xc3\xa8ne\r\n\x1b[2Jhalf a li"
)
LINES = [
    r"\x00" + "\\xff\\xe2\\x80step:19 lo",
    "ets Jul 29 2019 12:21:46",
    "",
    "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
    "entry 0x400805b0",
    "# microgpt-esp32 0.1.0 board:esp32-1.24.0 kernels:portable reason:no-kernels_xtensawin.mpy "
    "seed:42 parameters:4192 steps:1000 data:32469",
    "step:0 loss:3.3872 mean:3.3872 lr:0.01000 ms:514.4 free:49328",
    "name:arona",
    "name:hélène",
]


def shown(line: str) -> str:
    """Return a line as the monitor prints it."""
    return printable(log.legible(line))


def split(*chunks: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)]


def test_captured_bytes():
    assert [shown(line) for line in split(CAPTURED)] == LINES


def test_chopped_at_every_position():
    for i in range(len(CAPTURED)):
        found = split(CAPTURED[:i], CAPTURED[i:])
        assert [shown(line) for line in found] == LINES, i


def test_byte_by_byte():
    assert [shown(line) for line in split(*(bytes((b,)) for b in CAPTURED))] == LINES


@given(st.lists(st.binary()))
def test_the_chopping_never_matters(chunks: list[bytes]):
    assert split(*chunks) == split(b"".join(chunks))


@given(st.binary(max_size=4 * LONGEST_LINE))
def test_garbage_becomes_short_printable_lines(data: bytes):
    for line in split(data, b"\n"):
        text = shown(line)
        assert printable(text) == text
        assert "\x1b" not in text
        assert len(line) <= LONGEST_LINE


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=256)))
def test_text_is_read_back_however_it_is_chopped(texts: list[str]):
    data = "".join(f"name:{text}\n" for text in texts).encode()
    for size in (1, 2, 3, 7, len(data) + 1):
        chunks = (data[i : i + size] for i in range(0, len(data), size))
        assert split(*chunks) == [f"name:{text}" for text in texts]


def test_the_longest_name_is_one_line():
    for name in ("\U0001f43f" * 256, r"\u2028" * 256):
        assert split(f"name:{name}\r\n".encode()) == [f"name:{name}"]


def test_noise_without_an_end_does_not_pile_up():
    lines = split(b"x" * (10 * LONGEST_LINE + 1), b"\nname:arona\n")
    assert [len(line) for line in lines[:10]] == [LONGEST_LINE] * 10
    assert lines[-2:] == ["x", "name:arona"]


def test_a_port_that_is_away_after_a_reset(tmp_path: Path):
    """As that of a chip with its own USB: the first attempt finds none."""
    end = SerialEnd()
    link = tmp_path / "ttyACM0"
    attempts = []
    heard = threading.Event()

    def find() -> str:
        attempts.append(1)
        if len(attempts) == 2:
            link.symlink_to(end.port)
        return str(link)

    def say() -> None:
        while not heard.wait(0.01):
            end.write(b"hello\n")

    board = threading.Thread(target=say)
    board.start()
    try:
        lines = read_lines(find, pytest.fail, patience_s=30)
        assert "hello" in (next(lines), next(lines))  # the first may be half a line
    finally:
        heard.set()
        board.join()
    assert len(attempts) == 2
    lines.close()
    end.close()


def test_a_board_that_comes_back_under_another_name():
    first, second = SerialEnd(), SerialEnd()
    there = [first.port]
    said = []
    stop = threading.Event()

    def tell(line: str) -> None:
        said.append(line)
        there[0] = second.port

    def say() -> None:
        while not stop.wait(0.01):
            second.write(b"welcome\n")

    board = threading.Thread(target=say)
    lines = read_lines(lambda: there[0], tell)
    first.write(b"hello\n")
    try:
        assert next(lines) == "hello"
        first.close()
        board.start()
        assert "welcome" in (next(lines), next(lines))  # the first may be half a line
        assert [line.partition(" is gone")[0] for line in said] == [first.port, ""]
    finally:
        stop.set()
        if board.is_alive():
            board.join()
        lines.close()
        second.close()


def test_a_port_that_stays_away():
    with pytest.raises(ToolError, match="/dev/ttyACM99 is not there"):
        read_lines(lambda: "/dev/ttyACM99", pytest.fail)
