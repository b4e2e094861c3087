"""Copy the program to a board that runs MicroPython already: only what changed, as .mpy.

python -m microgpt_board.device.deploy [--port PORT] [--tool ampy]

Interrupts the board and starts it again. Its checkpoint and settings stay.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ugpt.board import PARTITION
from ugpt.dataset import HEADER_SIZE

from microgpt_board.device import ports
from microgpt_board.device.remote import NoAnswer, failure, until_answer
from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import compile as build
from microgpt_board.image import names_bin

NAMES = "names.bin"
PATIENCE_S = 120
SLOWEST_BYTES_A_SECOND = 500  # ampy sends 32 at a time

# Runs on the board: what is there of ours. (MicroPython finds the names as ugpt.board does.)
INSPECT = f"""
import hashlib, json, os, sys
from binascii import hexlify
found = {{"mpy": getattr(sys.implementation, "_mpy", 0), "files": {{}}, "names": None}}
def look(name):
    try:
        with open(name, "rb") as file:
            digest = hashlib.sha256()
            while True:
                data = file.read(1024)
                if not data:
                    break
                digest.update(data)
        found["files"][name] = hexlify(digest.digest()).decode()
    except OSError:
        pass
for name in ("boot.py", "main.py", "{NAMES}"):
    look(name)
try:
    for name in os.listdir("ugpt"):
        look("ugpt/" + name)
except OSError:
    found["new"] = True
try:
    from esp32 import Partition
    for part in Partition.find(Partition.TYPE_DATA, label="{PARTITION}"):
        header = bytearray({HEADER_SIZE})
        part.readblocks(0, header, 0)
        found["names"] = hexlify(header).decode()
except ImportError:
    pass
space = os.statvfs("/")
found["space"] = space[0] * space[3]
print(json.dumps(found))
"""
RESTART = "import machine\nmachine.reset()\n"


@dataclass(frozen=True)
class Found:
    """What is on the board: SHA-256 of each file, room in bytes, header of its names partition."""

    mpy: int
    files: dict[str, str]
    space: int
    names: str | None
    new: bool = False  # there is no folder ugpt


@dataclass(frozen=True)
class Plan:
    """What a deployment does, in the names on the board."""

    copy: list[str]
    remove: list[str]


class Mpremote:
    """The board through mpremote, each method one connection."""

    def __init__(self, port: str) -> None:
        self._start = [sys.executable, "-m", "mpremote", "connect", port]

    def run(self, script: Path) -> str:
        """Return what the script prints on the board."""
        return _call([*self._start, "run", str(script)])

    def change(self, folder: Path, plan: Plan, new: bool) -> None:
        """Do what the plan says, with the files from `folder`."""
        words: list[str] = ["mkdir", ":ugpt", "+"] if new else []
        for name in plan.remove:
            words += ["rm", f":{name}", "+"]
        for name in plan.copy:
            words += ["cp", "-f", str(folder / name), f":{name}", "+"]
        if words:
            _call([*self._start, *words[:-1]], _size(folder, plan.copy), show=True)

    def restart(self, script: Path) -> None:
        """Start the board again."""
        _call([*self._start, "run", "--no-follow", str(script)])


class Ampy:
    """The board through adafruit-ampy."""

    def __init__(self, port: str) -> None:
        if "://" in port:
            raise ToolError(f"ampy knows only serial ports, not {port}: use mpremote")
        self._start = [sys.executable, "-m", "ampy.cli", "--port", port]

    def run(self, script: Path) -> str:
        """Return what the script prints on the board."""
        return _call([*self._start, "run", str(script)])

    def change(self, folder: Path, plan: Plan, new: bool) -> None:
        """Do what the plan says, with the files from `folder`."""
        if new:
            _call([*self._start, "mkdir", "ugpt"])
        for name in plan.remove:
            print(f"rm {name}")
            _call([*self._start, "rm", name])
        for name in plan.copy:
            print(f"put {name}", flush=True)
            _call([*self._start, "put", str(folder / name), name], _size(folder, [name]))

    def restart(self, script: Path) -> None:
        """Start the board again."""
        _call([*self._start, "run", "--no-output", str(script)])


TOOLS = {"mpremote": Mpremote, "ampy": Ampy}


def _size(folder: Path, names: Sequence[str]) -> int:
    return sum((folder / name).stat().st_size for name in names)


def _call(command: Sequence[str], size: int = 0, show: bool = False) -> str:
    """Run a tool that sends `size` bytes, and return what it printed, if that is not shown.

    Raises ToolError, with the tool's last line, if it fails or hangs.
    """
    stdout = None if show else subprocess.PIPE
    patience = PATIENCE_S + size / SLOWEST_BYTES_A_SECOND
    try:
        result = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer from None
    if result.returncode:
        raise failure("deploying failed", (result.stdout or "") + result.stderr)
    return result.stdout or ""


def inspect(text: str) -> Found:
    """Return what INSPECT printed; raise ToolError if that is nothing."""
    for line in text.splitlines():
        if line.startswith("{"):
            return Found(**json.loads(line))
    raise ToolError("the board gave no list of its files: press its EN button and try again")


def plan_for(folder: Path, found: Found) -> Plan:
    """Return what makes the board's files those in `folder`; raise ToolError if they don't fit.

    Modules of the package that are no longer ours go: a forgotten app.py would win over app.mpy.
    """
    wanted = sorted(
        (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
        key=lambda name: (name in build.PROGRAMS, name),  # what starts the others comes last
    )
    copy = [
        name
        for name in wanted
        if found.files.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest()
    ]
    remove = [
        name
        for name in sorted(found.files)
        if name.startswith("ugpt/") and name.endswith((".py", ".mpy")) and name not in wanted
    ]
    new = _size(folder, [name for name in copy if name not in found.files])
    if new > found.space:
        raise ToolError(f"the board has {found.space:,} bytes free, the files need {new:,}")
    return Plan(copy, remove)


def deploy(board: Mpremote | Ampy, names: Path, folder: Path) -> str:
    """Make the board's program the one built here, in `folder`; return a line about it.

    Raises ToolError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "script.py"
        script.write_text(INSPECT)
        found = inspect(until_answer(lambda: board.run(script)))
        shutil.rmtree(folder, ignore_errors=True)
        build.build_files(folder, build.architecture_of(found.mpy, "the board's MicroPython"))
        names_file = folder / NAMES
        names_bin.write(names, names_file)
        header = names_file.read_bytes()[:HEADER_SIZE].hex()
        if found.names:
            names_file.unlink()
        plan = plan_for(folder, found)
        board.change(folder, plan, found.new)
        script.write_text(RESTART)
        board.restart(script)
    unchanged = sum(path.is_file() for path in folder.rglob("*")) - len(plan.copy)
    done = f"{len(plan.copy)} files copied, {unchanged} as they were, {len(plan.remove)} removed"
    if found.names and found.names != header:
        done += f"; its partition {PARTITION} holds another list than {names}: make flash writes it"
    return done


def main() -> None:
    parser = parser_of("deploy", __doc__)
    parser.add_argument("--port", help="serial port (found by its USB chip)")
    parser.add_argument("--tool", choices=TOOLS, default="mpremote", help="(mpremote)")
    parser.add_argument("--names", type=Path, default=Path("data/names.txt"), help="documents")
    arguments = parser.parse_args()
    port = ports.find_port(arguments.port)
    board = TOOLS[arguments.tool](port)
    ports.check_port(port)
    print(deploy(board, arguments.names, Path("build/deploy")))


if __name__ == "__main__":
    run(main)
