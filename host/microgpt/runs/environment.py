"""The environment of a run: what its figures depend on besides its settings."""

import functools
import hashlib
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import numpy as np
from threadpoolctl import threadpool_info

from microgpt.engines import native_build
from microgpt.system import files

Environment = TypedDict(
    "Environment",
    {
        "microgpt-esp32": str,
        "python": str,
        "numpy": str,
        "blas": str | None,
        "native": str | None,
        "commit": str | None,
        "dirty": bool,
        "system": str,
        "processor": str,
        "cores": int | None,
        "command": str,
    },
)


class Computation(TypedDict):
    """What computes: with the same settings and documents it gives the same losses.

    `sources` is a hash; `native` and `torch` are None for the other engines.
    """

    sources: str
    python: str
    numpy: str
    blas: str | None
    native: str | None
    torch: str | None


def computation(engine: str) -> Computation:
    """Return what this process computes with in `engine`."""
    return {
        "sources": sources(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "native": native_build() if engine == "native" else None,
        "torch": _torch() if engine == "torch" else None,
    }


@functools.cache
def sources() -> str:
    """Return the SHA-256 of the source files of microgpt and ugpt, wherever they are installed."""
    digest = hashlib.sha256()
    for package in ("microgpt", "ugpt"):
        root = files.packaged(package)
        for path in sorted(root.rglob("*.py")):
            content = path.read_bytes()
            name = path.relative_to(root).as_posix()
            digest.update(f"{package}/{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _torch() -> str | None:
    """Return the version of PyTorch and the device of engine torch; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else torch.backends.cpu.get_cpu_capability()
    return f"{torch.__version__} {device}"


def environment() -> Environment:
    """Return the versions, the commit and the hardware that this process runs with."""
    return {
        "microgpt-esp32": version("microgpt-esp32"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "native": native_build(),
        "commit": commit(),
        "dirty": bool(_git("status", "--porcelain")),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
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
    """Return what git prints, None if it cannot; it must not lock the repository meanwhile."""
    try:
        result = subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
