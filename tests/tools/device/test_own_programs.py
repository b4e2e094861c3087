"""A board's own main.py and boot.py survive `deploy`, with the real mpremote and ampy."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from littlefs import LittleFS
from microgpt_board import resources
from microgpt_board.device import deploy
from microgpt_board.device.found import not_ours
from microgpt_board.emulation.micropython import find_micropython, virtual_architecture
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build
from microgpt_board.image import names_bin
from microgpt_board.image.image import LITTLEFS as OLDEST
from microgpt_board.image.names_bin import Source

from tests.support.commands import microgpt_board
from tests.support.serial_board import MicroPythonBoard
from tests.tools.device.test_deploy import contents
from tests.tools.device.test_room import found

ROBOT = b"print('my robot')\n" + b"# and what it needs\n" * 200  # longer than any version of ours
WIFI = b"PASSWORD = 'in the garden'\n"
# As MicroPython makes it now; it writes an older one as its own.
LITTLEFS = {name: value for name, value in OLDEST.items() if name != "disk_version"}
Make = Callable[..., MicroPythonBoard]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a board of a family, whose port is PORT; its flash is a folder or a file."""
    boards = []

    def make(flash: Path, *family: str) -> MicroPythonBoard:
        boards.append(MicroPythonBoard(flash, *family))
        monkeypatch.setenv("PORT", boards[-1].port)
        return boards[-1]

    monkeypatch.chdir(tmp_path)
    yield make
    for board in boards:
        board.close()


def deployed(names: Path, *words: str) -> list[str]:
    """Deploy; return what it says."""
    result = microgpt_board("deploy", "--names", names, *words)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("tool", "family"), [("mpremote", ("pyboard", "/flash")), ("ampy", ("rp2", "/"))]
)
def test_they_are_kept(tmp_path: Path, make: Make, names: Path, tool: str, family: tuple[str, ...]):
    flash = tmp_path / "flash"
    flash.mkdir()
    build.build_files(flash, virtual_architecture(find_micropython()))  # ampy is slow
    names_bin.write(Source(names), flash / "names.bin")
    its_own = {"main-1.py": b"kept before", "main-2.py": ROBOT, "boot.py": WIFI}
    for name, data in its_own.items():
        (flash / name.replace("-2", "")).write_bytes(data)
    make(flash, *family)
    said = deployed(names, "--tool", tool)
    assert contents(flash) == contents(Path("build/deploy")) | its_own
    assert said[-1] == (
        "the board had a main.py of its own, which is main-2.py there now "
        "(mpremote cp :main-2.py :main.py puts it back)"
    )
    assert "mv main.py main-2.py" in said
    again = deployed(names)  # ours is not kept
    assert again[-1].startswith("0 files copied, ")
    assert contents(flash).keys() & {"main-1.py", "main-2.py", "main-3.py"} == set(its_own) - {
        "boot.py"
    }


def test_an_esp32s_boot_py_too(tmp_path: Path, make: Make, names: Path):
    fs = LittleFS(block_count=200, **LITTLEFS)
    with fs.open("boot.py", "wb") as file:
        file.write(WIFI)
    flash = tmp_path / "flash.bin"
    flash.write_bytes(bytes(fs.context.buffer))
    make(flash, "esp32", "/")
    said = deployed(names)
    assert said[-1].startswith("the board had a boot.py of its own, which is boot-1.py there now")
    fs = LittleFS(block_count=200, mount=False, **LITTLEFS)
    fs.context.buffer[:] = flash.read_bytes()
    fs.mount()
    boots = {name: fs.open(name, "rb").read() for name in ("boot-1.py", "boot.py")}
    assert boots == {"boot-1.py": WIFI, "boot.py": resources.firmware("boot.py").read_bytes()}


def committed(name: str) -> list[bytes]:
    """Return every version of a program of ours that is in the history here."""
    path = f"firmware/{name}"
    git = ["git", "-C", str(resources.firmware(name).parent)]
    log = subprocess.run([*git, "log", "--format=%h", "--", name], capture_output=True, text=True)
    return [
        subprocess.run([*git, "show", f"{commit}:{path}"], capture_output=True, check=True).stdout
        for commit in log.stdout.split()
    ]


@pytest.mark.parametrize("name", build.PROGRAMS)
def test_versions_of_ours_are_replaced(name: str):
    versions = [resources.firmware(name).read_bytes(), *committed(name)]
    for version in versions:
        for data in (version, version.replace(b"\n", b"\r\n")):
            there = found(files={name: "another"}, programs={name: data.hex()})
            is_comment = b"import" not in data  # the very first boot.py
            assert not_ours(there) == ([name] if is_comment else [])


@pytest.mark.parametrize(
    "data", [b"", b"import ugpt\nugpt.train()\n", b"import ugpt.app\nugpt.app.main()\nblink()\n"]
)
def test_a_program_that_uses_ours_is_not_ours(data: bytes):
    assert not_ours(found(files={"main.py": "x"}, programs={"main.py": data.hex()})) == ["main.py"]


def test_what_is_kept_takes_room(tmp_path: Path):
    (tmp_path / "main.py").write_bytes(b"x" * 4088)
    there = found(files={"main.py": "another"}, sizes={"main.py": 4088}, space=4096)
    assert deploy.changes_for(tmp_path, there).copy == ["main.py"]
    with pytest.raises(ToolError, match="4,096 bytes free, and 12,288 more are needed"):
        deploy.changes_for(tmp_path, there.without(["main.py"]))
