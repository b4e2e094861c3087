"""Copy the program, as .mpy files, to a board that runs MicroPython; only changed files."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import click
from microgpt.boards import refusal
from microgpt.system.terminal import printable
from ugpt import app
from ugpt.board import NAMES, PARTITION
from ugpt.dataset import HEADER_SIZE

from microgpt_board.device import ports, remote
from microgpt_board.device.found import (
    INSPECT,
    Found,
    inspect,
    merged,
    not_ours,
    saved_run,
)
from microgpt_board.device.ports import port_option
from microgpt_board.device.remote import (
    RESTART,
    Changes,
    NoAnswer,
    Remote,
    failure,
    size_of,
    until_answer,
)
from microgpt_board.device.room import make_room, remarks_on
from microgpt_board.errors import ToolError
from microgpt_board.image import boards, names_bin
from microgpt_board.image import compile as build
from microgpt_board.image.names_bin import Source, names_options
from microgpt_board.image.sizes import (
    Settings,
    settings_for,
    sizes_of,
    sizes_options,
    write_settings,
)

# Runs on the board, with `name`, a file there: gives it a free name, and prints that.
KEEP = """
import os
stem, number = name[:-3], 1
try:
    while os.stat("%s-%d.py" % (stem, number)):
        number += 1
except OSError:
    pass
os.rename(name, "%s-%d.py" % (stem, number))
print("kept as %s-%d.py" % (stem, number))
"""


class Connection(Protocol):
    """A connection to a board through one of TOOLS."""

    def run(self, code: str) -> str:
        """Return what `code` prints on the board."""

    def change(self, folder: Path, changes: Changes, new: bool) -> None:
        """Copy files from `folder` and remove others; `new`: make the folder ugpt first."""

    def restart(self) -> None:
        """Start the board's program again."""


class Ampy:
    """A board through adafruit-ampy, each of its commands one connection."""

    def __init__(self, port: str) -> None:
        if "://" in port:
            raise ToolError(
                f"ampy knows real serial ports only, not {port}: deploy without TOOL=ampy uses "
                "mpremote"
            )
        self._port = port
        self._start = [sys.executable, "-m", "ampy.cli", "--port", port]

    def run(self, code: str) -> str:
        return self._run_script(code)

    def change(self, folder: Path, changes: Changes, new: bool) -> None:
        if new:
            self._call("mkdir", "ugpt")
        for name in changes.remove:
            print(printable(f"rm {name}"))
            self._call("rm", name)
        for name in changes.copy:
            print(f"put {name}", flush=True)
            self._call("put", str(folder / name), name, size=size_of(folder, [name]))

    def restart(self) -> None:
        with ports.across_reset(self._port):
            self._run_script(RESTART, "--no-output")

    def _run_script(self, code: str, *words: str) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            script = Path(scratch) / "script.py"
            script.write_text(code)
            return self._call("run", *words, str(script))

    def _call(self, *words: str, size: int = 0) -> str:
        """Run ampy, which sends `size` bytes, and return what it printed.

        Raises ToolError, with ampy's last line, if it fails; NoAnswer if it hangs.
        """
        patience = remote.FIRST_S + size / remote.SLOWEST_BYTES_A_SECOND
        command = [*self._start, *words]
        try:
            result = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",  # whatever this computer's locale has
                errors="backslashreplace",
                timeout=patience,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswer from None
        if result.returncode:
            raise failure("deploying failed", result.stdout + result.stderr)
        return result.stdout


TOOLS: dict[str, Callable[[str], Connection]] = {"mpremote": Remote, "ampy": Ampy}


def changes_for(folder: Path, found: Found) -> Changes:
    """Return what makes the board's files those in `folder`; raise ToolError if they do not fit.

    Other modules in the board's ugpt are removed: MicroPython prefers an old app.py to app.mpy.
    """
    wanted = sorted(
        (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
        key=lambda name: (name in build.PROGRAMS, name),  # after the modules that they import
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
    return Changes(copy, make_room(folder, found, copy, remove))


def keep(board: Connection, name: str) -> str:
    """Give the board's file `name` another name; return a line about it. Raises ToolError."""
    said = board.run(f"name = {name!r}{KEEP}").split()
    if "kept" not in said:
        raise ToolError(f"the board's {name} could not be kept under another name: try again")
    kept = said[-1]
    print(printable(f"mv {name} {kept}"), flush=True)
    return (
        f"the board had a {name} of its own, which is {kept} there now "
        f"(mpremote cp :{kept} :{name} puts it back)"
    )


def deploy(board: Connection, names: Source, folder: Path, given: Settings | None = None) -> str:
    """Build the program in `folder` and make the board's files equal; return lines about it.

    The settings that are `given` are put into the board's ugpt.json. A boot.py or main.py of its
    own stays, under another name. Raises ToolError; a board that was interrupted by then, and to
    which nothing was copied, has been restarted.
    """
    lines = names_bin.read_lines(names.path)  # before the board is interrupted
    answer = until_answer(lambda: board.run(INSPECT))
    try:
        found = inspect(answer)
        settings = merged(found, given or {})
        if names.block_size is None and app.fits("block_size", settings.get("block_size")):
            names = replace(names, block_size=settings["block_size"])  # as the board's model has it
        packed = names_bin.pack_some(lines, names)
        model = sizes_of(settings, packed.data, saved_run(found))
        architecture = build.architecture_of(found.mpy, "the board's MicroPython")
        there = boards.memory_of(found.machine, architecture, found.heap, found.pieces, found.wide)
        reason = refusal("this board", model, there)
        if reason:
            raise ToolError(reason)
        shutil.rmtree(folder, ignore_errors=True)
        build.build_files(folder, architecture)
        names_file = folder / NAMES
        said = packed.write(names_file)
        if found.names:
            names_file.unlink()
        if given:
            write_settings(settings, folder)
        if not found.flashbdev:
            (folder / "boot.py").unlink()
        own = [name for name in not_ours(found) if (folder / name).exists()]
        found = found.without(own)
        changes = changes_for(folder, found)
        kept = [keep(board, name) for name in own]
    except BaseException:  # Ctrl-C too: nothing was copied, and the board goes on
        with suppress(ToolError):  # the first error is the one to report
            board.restart()
        raise
    board.change(folder, changes, found.new)
    board.restart()
    unchanged = sum(path.is_file() for path in folder.rglob("*")) - len(changes.copy)
    done = (
        f"{len(changes.copy)} files copied, {unchanged} as they were, {len(changes.remove)} removed"
    )
    if found.names and found.names != packed.data[:HEADER_SIZE].hex():
        another = f"its partition {PARTITION} holds another list than {names.path}"
        done += f"; {another}: make flash writes it"
    return "\n".join([said, done, *kept, *remarks_on(folder, found, changes, model)])


@click.command("deploy")
@port_option
@click.option(
    "--tool",
    type=click.Choice(list(TOOLS)),
    default="mpremote",
    show_default=True,
    help="What talks to the board.",
)
@names_options
@sizes_options
def deploy_command(port: str | None, tool: str, names: Source, sizes: Settings) -> None:
    """Copy what changed to a board that runs MicroPython.

    Interrupts the board's program and restarts it, also if it then refuses. The checkpoint stays,
    and so do the settings, but for the sizes that are given here. A main.py of the board's own is
    kept as main-1.py.

    \b
    Examples: microgpt-board deploy --port /dev/ttyUSB0
              microgpt-board deploy --n-layer 2 --n-embd 12
    """
    found = ports.find_serial_port(port, "deploy")
    board = TOOLS[tool](found)
    ports.check_port(found)
    click.echo(deploy(board, names, Path("build/deploy"), settings_for(sizes, names)))
