"""The environment of a run: what its figures depend on besides its settings."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import numpy as np
from threadpoolctl import threadpool_info

Environment = TypedDict(
    "Environment",
    {
        "microgpt-esp32": str,
        "python": str,
        "numpy": str,
        "blas": str | None,
        "commit": str | None,
        "dirty": bool,
        "system": str,
        "processor": str,
        "cores": int | None,
        "command": str,
    },
)


def environment() -> Environment:
    """Return the versions, the commit and the hardware that this process runs with."""
    return {
        "microgpt-esp32": version("microgpt-esp32"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "commit": commit(),
        "dirty": bool(_git("status", "--porcelain")),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "command": " ".join(sys.argv),
    }


def _blas() -> str | None:
    """Return the BLAS library that NumPy uses, because libraries differ in how they round."""
    for library in threadpool_info():
        if library["user_api"] == "blas":
            words = (library.get(key) for key in ("internal_api", "version", "architecture"))
            return " ".join(word for word in words if word)
    return None


def commit() -> str | None:
    """Return the commit of this source tree; None outside a repository."""
    return _git("rev-parse", "HEAD")


def _git(*words: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
