"""The emulated board: which QEMU, and what it is started with. A script stands in for QEMU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from microgpt_board.emulation import qemu as emulate
from microgpt_board.errors import ToolError
from microgpt_board.image import boards

from tests.support.commands import microgpt_board
from tests.support.release import release

ESP32 = boards.find("ESP32_GENERIC")
MACHINES = "Supported machines are:\nnone  empty machine\n"
WITH_ESP32 = MACHINES + "esp32  Espressif ESP32 machine\n"


def fake_qemu(folder: Path, machines: str, ending: str = "exit 0") -> Path:
    """Return a program that lists `machines`, and otherwise writes down what it was called with."""
    path = folder / "qemu-system-xtensa"
    path.write_text(
        f'#!/bin/sh\nif [ "$2" = help ]; then\ncat <<END\n{machines}END\nexit\nfi\n'
        f'echo "$@" > {folder}/called\n{ending}\n'
    )
    path.chmod(0o755)
    return path


def run_tool(qemu: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run microgpt-board emulate as make does."""
    return subprocess.run(
        [sys.executable, "-m", "microgpt_board", "emulate", *words],
        env={**os.environ, "QEMU": str(qemu)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_qemu_with_an_esp32_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    qemu = fake_qemu(tmp_path, WITH_ESP32)
    monkeypatch.delenv("QEMU", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert emulate.find_qemu() == str(qemu)


def test_qemu_without_an_esp32_says_where_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    qemu = fake_qemu(tmp_path, MACHINES)
    monkeypatch.setenv("QEMU", str(qemu))
    with pytest.raises(ToolError, match="has no machine esp32: get Espressif's .*espressif/qemu"):
        emulate.find_qemu()


def test_no_qemu_says_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("QEMU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="no QEMU here: get Espressif's .*or name it with QEMU="):
        emulate.find_qemu()


def test_a_qemu_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QEMU", "/nowhere/qemu")
    with pytest.raises(ToolError, match="QEMU=/nowhere/qemu is not a program"):
        emulate.find_qemu()


def test_it_boots_the_image(tmp_path: Path):
    firmware = tmp_path / "release.bin"
    firmware.write_bytes(release(ESP32))
    result = run_tool(fake_qemu(tmp_path, WITH_ESP32), "--firmware", str(firmware))
    assert result.returncode == 0, result.stderr
    assert "PORT=socket://127.0.0.1:5555" in result.stdout
    called = (tmp_path / "called").read_text()
    assert "-machine esp32" in called
    assert "-serial tcp:127.0.0.1:5555,server=on,wait=off" in called
    assert "strap_mode" not in called
    flash = Path("build/ESP32_GENERIC/flash.bin").read_bytes()
    assert flash == Path("build/ESP32_GENERIC/image.bin").read_bytes()


def test_an_empty_board_in_download_mode(tmp_path: Path):
    result = run_tool(fake_qemu(tmp_path, WITH_ESP32), "--download", "--socket", "5999")
    assert result.returncode == 0, result.stderr
    called = (tmp_path / "called").read_text()
    assert "property=strap_mode,value=0x0f" in called
    assert "tcp:127.0.0.1:5999" in called
    assert Path("build/ESP32_GENERIC/flash.bin").read_bytes() == b"\xff" * 0x400000


def test_a_flash_is_kept_as_it_is(tmp_path: Path):
    flash = tmp_path / "mine.bin"
    flash.write_bytes(b"\x12" * 0x400000)
    result = run_tool(fake_qemu(tmp_path, WITH_ESP32), "--flash", str(flash))
    assert result.returncode == 0, result.stderr
    assert f"file={flash},if=mtd" in (tmp_path / "called").read_text()
    assert flash.read_bytes() == b"\x12" * 0x400000


@pytest.mark.parametrize(
    ("words", "ending", "complaint"),
    [
        (["--flash", "LICENSE"], "", "error: LICENSE is not a flash of 4,194,304 bytes\n"),
        (["--board", "ESP32_GENERIC_S3"], "", "error: make emulate takes ESP32_GENERIC or "),
        (["--download"], "echo port 5555: in use >&2; exit 1", "error: port 5555: in use\n"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, words: list[str], ending: str, complaint: str):
    result = run_tool(fake_qemu(tmp_path, WITH_ESP32, ending), *words)
    assert result.returncode == 1
    assert result.stderr.startswith(complaint)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("--release", "v1.28.0")])
def test_a_pico_is_not_emulated_and_what_to_do_is_said(tmp_path: Path, words: tuple[str, ...]):
    result = run_tool(fake_qemu(tmp_path, WITH_ESP32), "--board", "RPI_PICO2", *words)
    assert result.returncode == 1
    assert result.stderr == (
        "error: make emulate takes ESP32_GENERIC or ESP32_GENERIC-SPIRAM, not RPI_PICO2: make run "
        "BOARD=RPI_PICO2 trains on the virtual board with as much memory\n"
    )


def test_its_help_lists_the_boards_that_it_takes_and_that_of_an_image_all():
    for verb, others in (("emulate", False), ("image", True)):
        said = "".join(microgpt_board(verb, "--help").stdout.split())
        assert "ESP32_GENERIC-SPIRAM" in said
        assert ("ESP32_GENERIC_S3" in said.partition("Options:")[2]) == others
