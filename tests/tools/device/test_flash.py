"""The real esptool writes to a stand-in for the ROM's loader, and what is there is the image."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from microgpt_board.device import flash
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, image
from microgpt_board.image.names_bin import Source
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from tests.support.commands import microgpt_board
from tests.support.release import release
from tests.support.rom_loader import ESP32_S2, RomLoader
from tests.support.serial_board import SerialEnd

SMALL_FLASH = 0x154020  # 2 MB


@contextmanager
def loader(**kind: object) -> Iterator[RomLoader]:
    stand_in = RomLoader(**kind)
    try:
        yield stand_in
    finally:
        stand_in.close()


ESP32 = boards.find("ESP32_GENERIC")
BAUD = 460800


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of MicroPython."""
    path = tmp_path_factory.mktemp("release") / "release.bin"
    path.write_bytes(release(ESP32))
    return path


@pytest.fixture(scope="module")
def file(firmware: Path) -> Path:
    """An image."""
    path = firmware.with_name("image.bin")
    image.write_image(path, ESP32, firmware, Source(Path("data/names.txt")))
    return path


def tool(port: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb as make does, in a process: esptool prints too."""
    command = [sys.executable, "-m", "microgpt_board", *words, "--port", port]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def assert_one_line(result: subprocess.CompletedProcess[str], expected: str) -> None:
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr


def test_the_flash_is_the_image(firmware: Path):
    with loader() as board:
        result = tool(board.port, "flash", "--no-monitor", "--firmware", str(firmware))
        assert result.returncode == 0, result.stderr
        assert "Hash of data verified" in result.stdout
        assert board.flash == image.path_of(ESP32).read_bytes()
        assert set(board.bauds) == {BAUD}


@pytest.mark.parametrize("name", ["ESP32_GENERIC_S3", "ESP32_GENERIC_C3", "ESP32_GENERIC_C6"])
def test_the_flash_of_a_newer_chip_is_the_image(tmp_path: Path, name: str):
    kind = boards.find(name)
    path = tmp_path / "release.bin"
    path.write_bytes(release(kind))
    with loader(chip=kind.chip) as board:
        words = ["--board", name, "--no-monitor", "--firmware", str(path)]
        result = tool(board.port, "flash", *words)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Hash of data verified" in result.stdout
        assert board.flash == image.path_of(kind).read_bytes()


def test_another_chip_than_the_one_that_is_named(file: Path):
    complaint = "the board at /dev/.* is ESP32-C3, not esp32c6: name yours with BOARD="
    with loader(chip="esp32c3") as board:
        with pytest.raises(ToolError, match=complaint):
            flash.write(boards.find("ESP32_GENERIC_C6"), board.port, BAUD, file)
        assert not any(board.flash)


def test_options_for_esptool(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESPTOOL_FLAGS", "--no-stub --before no-reset")
    part = file.with_name("part.bin")
    part.write_bytes(file.read_bytes()[:0x20000])
    with loader() as board:
        flash.write(ESP32, board.port, BAUD, part)
        assert not board.has_stub
        assert board.flash[:0x20000] == part.read_bytes()


def test_a_write_that_fails_is_tried_again_slower(file: Path, capsys: pytest.CaptureFixture[str]):
    with loader(fails_above=115200) as board:
        flash.write(ESP32, board.port, BAUD, file)
        assert "once more at 115200 baud" in capsys.readouterr().err
        assert board.flash == file.read_bytes()
        assert set(board.bauds) == {BAUD, 115200}


def test_a_write_that_fails_again(file: Path):
    complaint = r"writing failed \(Failed to write .*\): try another USB cable"
    with loader(fails_above=1) as board, pytest.raises(ToolError, match=complaint):
        flash.write(ESP32, board.port, BAUD, file)


def test_no_board_in_download_mode(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESPTOOL_FLAGS", "--connect-attempts 1")
    complaint = "no esp32 in download mode at /dev/.*: hold its BOOT button"
    with loader(awake=False) as board, pytest.raises(ToolError, match=complaint):
        flash.write(ESP32, board.port, BAUD, file)


@pytest.fixture
def own_usb(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a port that of an Espressif chip itself."""

    def make(name: str) -> None:
        port = ListPortInfo(name)
        port.vid, port.pid = 0x303A, 0x1001
        monkeypatch.setattr(list_ports, "comports", lambda: [port])

    return make


def test_a_chip_with_its_own_usb_that_is_not_in_download_mode(
    file: Path, own_usb: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ESPTOOL_FLAGS", "--connect-attempts 1")
    complaint = "no esp32 in download mode at /dev/.*: hold its BOOT button, press RESET, let BOOT"
    with loader(awake=False) as board:
        own_usb(board.port)
        with pytest.raises(ToolError, match=complaint):
            flash.write(ESP32, board.port, BAUD, file)


def test_a_chip_with_its_own_usb_has_no_baud_rate(
    file: Path, own_usb: Callable[[str], None], capsys: pytest.CaptureFixture[str]
):
    with loader(fails_above=115200) as board:
        own_usb(board.port)
        flash.write(ESP32, board.port, BAUD, file)
        assert capsys.readouterr().err.endswith(": once more\n")
        assert board.flash == file.read_bytes()


def test_a_chip_with_its_own_usb_may_need_its_reset_button(
    firmware: Path, own_usb: Callable[[str], None]
):
    with loader() as board:
        own_usb(board.port)
        words = ["--port", board.port, "--no-monitor", "--firmware", str(firmware)]
        result = microgpt_board("flash", *words)
        assert result.returncode == 0, result.stderr
        assert "press the board's RESET button if nothing comes from it now\n" in result.stderr
        assert board.flash == image.path_of(ESP32).read_bytes()


def test_erase_says_what_to_do_with_a_board_without_esptool():
    assert_one_line(
        tool("/dev/ttyUSB99", "erase", "--board", "RPI_PICO"), "copy Raspberry Pi's flash_nuke"
    )


def test_a_wrong_chip(file: Path):
    complaint = "the board at /dev/.* is ESP32-S2, not esp32: name yours with BOARD="
    with loader(magic=ESP32_S2) as board:
        with pytest.raises(ToolError, match=complaint):
            flash.write(ESP32, board.port, BAUD, file)
        assert not any(board.flash)


def test_too_small_a_flash(file: Path):
    with loader(flash_id=SMALL_FLASH) as board:
        with pytest.raises(ToolError, match="is too small: it must have 4 MB"):
            flash.write(ESP32, board.port, BAUD, file)
        assert not any(board.flash)


def test_options_that_esptool_does_not_know(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESPTOOL_FLAGS", "--bogus")
    with loader() as board, pytest.raises(ToolError, match="check ESPTOOL_FLAGS"):
        flash.write(ESP32, board.port, BAUD, file)


def test_options_with_an_open_quotation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ESPTOOL_FLAGS", "--before 'no")
    with pytest.raises(ToolError, match="ESPTOOL_FLAGS cannot be split into options"):
        flash.erase(ESP32, "/dev/null", BAUD)


def test_a_firmware_for_another_board_never_reaches_the_board(tmp_path: Path):
    other = tmp_path / "s3.bin"
    other.write_bytes(release(boards.find("ESP32_GENERIC_S3")))
    with loader() as board:
        assert_one_line(tool(board.port, "flash", "--firmware", str(other)), "is for another chip")
        assert not board.bauds


def test_erase():
    with loader() as board:
        result = tool(board.port, "erase")
        assert result.returncode == 0, result.stderr
        assert board.flash == b"\xff" * len(board.flash)


def test_a_port_in_use_names_who_uses_it():
    end = SerialEnd()
    end.unplug()
    code = "import serial, sys; s = serial.Serial(sys.argv[1], exclusive=True); print(); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, end.port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()  # it has the port
    try:
        result = tool(end.port, "flash")
        assert_one_line(result, f"{end.port} is in use by ")
        assert f"(process {holder.pid}): close it" in result.stderr
    finally:
        holder.communicate(b"\n")
        end.close()


def test_a_port_that_is_not_there():
    assert_one_line(tool("/dev/ttyUSB99", "flash"), "/dev/ttyUSB99 is not there: plug the board")
