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
MPY_VERSION = 6
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
    mpy = int(result.stdout)
    if mpy & 0xFF != MPY_VERSION:
        raise ToolError(f"{micropython} is too old: MicroPython 1.23 or later is needed")
    number = mpy >> 10
    return ARCHITECTURES[number] if number < len(ARCHITECTURES) else None


def compile_package(target: Path, architecture: str | None) -> None:
    """Compile firmware/ugpt to target/ugpt/*.mpy; raise ToolError with mpy-cross's own words."""
    mpy_cross = find_mpy_cross()
    package = target / "ugpt"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for source in sorted((FIRMWARE / "ugpt").glob("*.py")):
        command = [mpy_cross, "-s", f"ugpt/{source.name}"]
        if architecture and source.stem in NATIVE_EMITTER:
            command += [f"-march={architecture}", "-X", "emit=native"]
        command += ["-o", str(package / f"{source.stem}.mpy"), str(source)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise ToolError(f"mpy-cross refused {source}: {result.stderr.strip()}")


def build_virtual(target: Path, names: Path) -> str:
    """Fill `target` with what the virtual board's flash holds; return a line about the names."""
    compile_package(target, virtual_architecture(find_micropython()))
    for program in ("boot.py", "main.py"):
        shutil.copyfile(FIRMWARE / program, target / program)
    return names_bin.write(names, target / "names.bin")


def main() -> None:
    parser = argparse.ArgumentParser(prog="build", description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="folder to fill")
    parser.add_argument("--names", type=Path, required=True, help="text file, one document a line")
    arguments = parser.parse_args()
    print(build_virtual(arguments.target, arguments.names), file=sys.stderr)


if __name__ == "__main__":
    run(main)
