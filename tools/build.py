"""Compile the firmware tree for a target: the files that its file system will hold.

python -m tools.build build/virtual --names data/names.txt
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tools import names_bin
from tools.errors import ToolError, run
from tools.micropython import find_micropython, find_mpy_cross

FIRMWARE = Path(__file__).parent.parent / "firmware"
PROGRAMS = ("boot.py", "main.py")
MPY_VERSION = (6, 3)  # since MicroPython 1.23
# The native architectures by their number in sys.implementation._mpy >> 10.
ARCHITECTURES = (
    None, "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
NATIVE_EMITTER = ("ops",)  # the modules whose time counts


def virtual_architecture(micropython: str) -> str | None:
    """Return what the binary runs natively, None if nothing; raise ToolError if it is too old."""
    code = "import sys; print(getattr(sys.implementation, '_mpy', 0))"
    result = subprocess.run([micropython, "-c", code], capture_output=True, text=True)
    if result.returncode or not result.stdout.strip().isdecimal():
        raise ToolError(f"{micropython} is not MicroPython")
    return architecture_of(int(result.stdout), micropython)


def architecture_of(mpy: int, micropython: str) -> str | None:
    """Return the native architecture in MicroPython's sys.implementation._mpy, None if it has none.

    Raises ToolError if it loads no .mpy of ours.
    """
    if (mpy & 0xFF, mpy >> 8 & 3) != MPY_VERSION:
        raise ToolError(f"{micropython} is too old: MicroPython 1.23 or later is needed")
    number = mpy >> 10
    return ARCHITECTURES[number] if number < len(ARCHITECTURES) else None


def compile_file(source: Path, target: Path, *words: str) -> None:
    """Compile a module to target, a .mpy; raise ToolError with mpy-cross's own words."""
    command = [find_mpy_cross(), *words, "-o", str(target), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ToolError(f"mpy-cross refused {source}: {result.stderr.strip()}")


def compile_package(target: Path, architecture: str | None) -> None:
    """Compile firmware/ugpt to target/ugpt/*.mpy; raise ToolError with mpy-cross's own words."""
    package = target / "ugpt"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for source in sorted((FIRMWARE / "ugpt").glob("*.py")):
        words = ["-s", f"ugpt/{source.name}"]
        if architecture and source.stem in NATIVE_EMITTER:
            words += [f"-march={architecture}", "-X", "emit=native"]
        compile_file(source, package / f"{source.stem}.mpy", *words)


def build_files(target: Path, architecture: str | None) -> None:
    """Fill `target` with what the file system of a board with this architecture will hold."""
    compile_package(target, architecture)
    for program in PROGRAMS:
        shutil.copyfile(FIRMWARE / program, target / program)


def build_virtual(target: Path, names: Path) -> str:
    """Fill `target` with what the virtual board's flash holds; return a line about the names."""
    build_files(target, virtual_architecture(find_micropython()))
    return names_bin.write(names, target / "names.bin")


def main() -> None:
    parser = argparse.ArgumentParser(prog="build", description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="folder to fill")
    parser.add_argument("--names", type=Path, required=True, help="text file, one document a line")
    arguments = parser.parse_args()
    print(build_virtual(arguments.target, arguments.names), file=sys.stderr)


if __name__ == "__main__":
    run(main)
