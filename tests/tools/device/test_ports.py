"""Which port is the board's, and what is said when none can be used."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from microgpt_board.device import ports
from microgpt_board.errors import ToolError
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from tests.support.commands import microgpt_board

CP2102 = (0x10C4, 0xEA60)
MOUSE = (0x046D, 0xC077)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plug in USB devices: name, (vendor, product)."""

    def plug(**devices: tuple[int, int]) -> None:
        found = []
        for name, (vid, pid) in devices.items():
            port = ListPortInfo(f"/dev/{name}")
            port.vid, port.pid = vid, pid
            found.append(port)
        monkeypatch.setattr(list_ports, "comports", lambda: [*found, ListPortInfo("/dev/ttyS0")])

    return plug


def test_the_order(plugged: Callable[..., None]):
    plugged(ttyUSB0=CP2102)
    both = {"ESPTOOL_PORT": "/dev/e", "AMPY_PORT": "/dev/a"}
    all_three = {"PORT": "COM3", **both}
    assert ports.find_port("/dev/p", all_three) == "/dev/p"
    assert ports.find_port(None, all_three) == "COM3"
    assert ports.find_port(None, {"PORT": "8080", **both}) == "/dev/e"
    assert ports.find_port(None, {"PORT": "", **both}) == "/dev/e"
    assert ports.find_port(None, {"PORT": "8080"}) == "/dev/ttyUSB0"
    assert ports.find_port("/dev/p", both) == "/dev/p"
    assert ports.find_port(None, both) == "/dev/e"
    assert ports.find_port(None, {"ESPTOOL_PORT": "", "AMPY_PORT": "/dev/a"}) == "/dev/a"
    assert ports.find_port(None, {}) == "/dev/ttyUSB0"


@pytest.mark.parametrize("vendor", ports.USB_VENDORS)
def test_boards_are_known_by_their_usb_chip(plugged: Callable[..., None], vendor: int):
    plugged(ttyACM0=MOUSE, ttyACM1=(vendor, 0x7523))
    assert ports.find_port(None, {}) == "/dev/ttyACM1"


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ((0x2E8A, 0x0005), "Raspberry Pi Pico with MicroPython 2e8a:0005"),
        ((0x2E8A, 0x110A), "Raspberry Pi 2e8a:110a"),  # another maker's board with an RP2040
        ((0x303A, 0x1001), "Espressif, the USB of a C3, C6, H2 or S3 303a:1001"),
        ((0x303A, 0x4001), "Espressif S2 or S3 with MicroPython 303a:4001"),
        ((0x303A, 0x80D1), "Espressif 303a:80d1"),
        ((0xF055, 0x9800), "MicroPython f055:9800"),
    ],
)
def test_what_the_usb_ids_say(
    plugged: Callable[..., None], ids: tuple[int, int], expected: str
) -> None:
    plugged(ttyACM0=ids)
    (board,) = ports.list_boards()
    assert ports.describe(board) == f"/dev/ttyACM0 ({expected})"
    assert ports.is_own_usb("/dev/ttyACM0") == (ids[0] == 0x303A)
    assert not ports.is_own_usb("/dev/ttyS0")


@pytest.mark.parametrize("product", [0x0004, 0x000C])
def test_a_debug_probe_is_no_board(plugged: Callable[..., None], product: int):
    plugged(ttyACM0=(0x2E8A, product), ttyACM1=(0x2E8A, 0x0005))
    assert ports.find_port(None, {}) == "/dev/ttyACM1"


def test_several_boards_are_listed(plugged: Callable[..., None]):
    plugged(ttyUSB1=CP2102, ttyUSB0=(0x1A86, 0x7523))
    with pytest.raises(ToolError) as caught:
        ports.find_port(None, {})
    assert str(caught.value) == (
        "2 boards: /dev/ttyUSB0 (WCH CH34x 1a86:7523), /dev/ttyUSB1 (Silicon Labs CP210x "
        "10c4:ea60); name one: PORT=/dev/ttyUSB0"
    )


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux", "dmesg"), ("darwin", "Privacy & Security"), ("win32", "Device Manager")],
)
def test_no_board_says_what_to_check(
    plugged: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    expected: str,
):
    plugged()
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(ToolError, match="no board found: plug it in with a USB cable") as caught:
        ports.find_port(None, {})
    assert expected in str(caught.value)
    assert "a Pico that is a drive (RPI-RP2 or RP2350) has no Micro" in str(caught.value)
    assert str(caught.value).endswith("make boards BOARD=RPI_PICO2 says how")


def test_a_port_that_is_not_there():
    with pytest.raises(ToolError, match="/dev/ttyUSB99 is not there: .*make ports"):
        ports.open_port("/dev/ttyUSB99")


def test_no_permission_names_the_group(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    error = OSError("[Errno 13] could not open port: [Errno 13] Permission denied: '/dev/ttyUSB0'")
    text = str(ports.problem("/dev/ttyUSB0", error))
    assert "no permission to open /dev/ttyUSB0: join its group" in text
    assert "sudo usermod -aG dialout $USER, then log out and in again" in text


def test_windows_says_denied_for_a_port_in_use():
    error = OSError("could not open port 'COM3': PermissionError(13, 'Access is denied.')")
    assert "COM3 is in use by another program" in str(ports.problem("COM3", error))


def test_a_socket_that_nobody_serves():
    with pytest.raises(ToolError, match="nothing answers at socket://127.0.0.1:1: .*make emulate"):
        ports.open_port("socket://127.0.0.1:1")


def test_what_is_no_port():
    with pytest.raises(ToolError, match="nonsense://x is no port"):
        ports.open_port("nonsense://x")


def test_the_verb_lists_boards(plugged: Callable[..., None]):
    plugged(ttyUSB1=CP2102, ttyUSB0=(0x1A86, 0x7523))
    assert microgpt_board("ports").stdout.splitlines() == [
        "/dev/ttyUSB0 (WCH CH34x 1a86:7523)",
        "/dev/ttyUSB1 (Silicon Labs CP210x 10c4:ea60)",
    ]


def test_the_verb_finds_the_port(plugged: Callable[..., None], monkeypatch: pytest.MonkeyPatch):
    for variable in ports.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    plugged(ttyUSB0=CP2102)
    assert microgpt_board("ports", "--find").stdout == "/dev/ttyUSB0\n"
    monkeypatch.setenv("PORT", "virtual")
    assert microgpt_board("ports", "--find").stdout == "virtual\n"
    plugged()
    result = microgpt_board("ports")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no board found: ")


class Usb:
    """Ports as a computer lists them, one list after the other; then the last one, always."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lists: list[ListPortInfo]) -> None:
        self.lists = list(lists)
        monkeypatch.setattr(list_ports, "comports", self._comports)

    def _comports(self) -> list[ListPortInfo]:
        return self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]


@pytest.fixture
def device(tmp_path: Path) -> ListPortInfo:
    """A port whose device is there, and may be opened."""
    (tmp_path / "ttyACM0").touch()
    port = ListPortInfo(str(tmp_path / "ttyACM0"))
    port.vid, port.pid = 0x2E8A, 0x0005
    return port


@pytest.mark.parametrize("gone_at_once", [True, False])
def test_after_a_reset_the_port_of_its_own_usb_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: ListPortInfo, gone_at_once: bool
):
    """A Pico's goes and comes back; a link to it, as PORT may be, too."""
    link = tmp_path / "by-id"
    link.symlink_to(device.device)
    here: list[list[ListPortInfo]] = [[device], [device]]
    usb = Usb(monkeypatch, here[0], *([] if gone_at_once else here), [], [], [device], [device])
    with ports.across_reset(str(link)):
        assert usb.lists.pop(0) is not None  # of the time while it resets
    assert usb.lists == [[device]]


def test_a_port_is_back_when_it_may_be_opened(
    monkeypatch: pytest.MonkeyPatch, device: ListPortInfo
):
    """The system lists it before it has set its rights."""
    Usb(monkeypatch, [device], [], [device])
    rights = iter([False, False, True])
    monkeypatch.setattr(ports.os, "access", lambda name, mode: next(rights))
    with ports.across_reset(device.device):
        pass
    assert next(rights, None) is None


@pytest.mark.parametrize("ids", [CP2102, (None, None)])
def test_the_port_of_a_chip_between_stays(
    monkeypatch: pytest.MonkeyPatch, device: ListPortInfo, ids: tuple[int | None, int | None]
):
    device.vid, device.pid = ids
    usb = Usb(monkeypatch, [device], [])
    with ports.across_reset(device.device):
        pass
    assert usb.lists == [[]]  # it was not looked at again


def test_a_port_that_does_not_come_back_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, device: ListPortInfo
):
    monkeypatch.setattr(ports, "GOING_S", 0.1)
    monkeypatch.setattr(ports, "BACK_S", 0.2)
    Usb(monkeypatch, [device])
    with ports.across_reset(device.device):
        pass  # it never goes
    Usb(monkeypatch, [device], [])
    with ports.across_reset(device.device):
        pass
