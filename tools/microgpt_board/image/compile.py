"""Compile the firmware tree for a target: the files that its file system will hold.

python -m microgpt_board.image.compile build/virtual --names data/names.txt
"""

import shutil
import subprocess
import sys
from pathlib import Path

from microgpt_board import resources
from microgpt_board.emulation.micropython import find_micropython, find_mpy_cross
from microgpt_board.errors import ToolError, parser_of, run
from microgpt_board.image import mpy, names_bin, native

PROGRAMS = ("boot.py", "main.py")
NATIVE_EMITTER = ("ops",)  # the modules whose time counts


def virtual_architecture(micropython: str) -> str | None:
    """Return what the binary runs natively, None if nothing; raise ToolError as below."""
    code = "import sys; print(getattr(sys.implementation, '_mpy', 0))"
    result = subprocess.run([micropython, "-c", code], capture_output=True, text=True)
    if result.returncode or not result.stdout.strip().isdecimal():
        raise ToolError(f"{micropython} is not MicroPython")
    return architecture_of(int(result.stdout), micropython)


def architecture_of(version: int, micropython: str) -> str | None:
    """Return the native architecture in MicroPython's sys.implementation._mpy, None if it has none.

    Raises ToolError if it loads no .mpy of ours.
    """
    if (version & 0xFF, version >> 8 & 3) != (mpy.VERSION, mpy.SUB_VERSION):
        raise ToolError(
            f"{micropython} does not load .mpy files of version {mpy.VERSION}.{mpy.SUB_VERSION}, "
            "as MicroPython 1.23 and later do"
        )
    number = version >> 10
    return mpy.ARCHITECTURES[number] if number < len(mpy.ARCHITECTURES) else None


def native_kernels(architecture: str | None) -> bytes | None:
    """Return the native kernels: for a board as they are in the repository, else compiled here.

    None if there are none for the architecture, or no compiler for it.
    """
    if architecture == "xtensawin":
        return native.PREBUILT.read_bytes()
    return native.build(architecture) if architecture in native.TARGETS else None


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
    for source in sorted(resources.device_package().glob("*.py")):
        words = ["-s", f"ugpt/{source.name}"]
        if architecture and source.stem in NATIVE_EMITTER:
            words += [f"-march={architecture}", "-X", "emit=native"]
        compile_file(source, package / f"{source.stem}.mpy", *words)
    kernels = native_kernels(architecture)
    if kernels:
        (package / "kernels.mpy").write_bytes(kernels)


def build_files(target: Path, architecture: str | None) -> None:
    """Fill `target` with what the file system of a board with this architecture will hold."""
    compile_package(target, architecture)
    for program in PROGRAMS:
        shutil.copyfile(resources.firmware(program), target / program)


def build_virtual(target: Path, names: Path) -> str:
    """Fill `target` with what the virtual board's flash holds; return a line about the names."""
    build_files(target, virtual_architecture(find_micropython()))
    return names_bin.write(names, target / "names.bin")


def main() -> None:
    parser = parser_of("build", __doc__)
    parser.add_argument("target", type=Path, help="folder to fill")
    parser.add_argument("--names", type=Path, required=True, help="text file, one document a line")
    arguments = parser.parse_args()
    print(build_virtual(arguments.target, arguments.names), file=sys.stderr)


if __name__ == "__main__":
    run(main)
