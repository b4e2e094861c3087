"""The native kernels of a virtual board."""

from pathlib import Path

import pytest


def kernels_in(flash: Path) -> Path | None:
    """Return the file of the native kernels in `flash`, None if this computer has none."""
    return next((flash / "ugpt").glob("kernels_*.mpy"), None)


def native_kernels(flash: Path) -> Path:
    """Return the file of the native kernels in `flash`; skip the test if this computer has none."""
    path = kernels_in(flash)
    if path is None:
        pytest.skip("no native kernels for this computer: they are for x86-64")
    return path


def make_portable(flash: Path) -> None:
    """Take the native kernels out of `flash`, so that the portable ones run there."""
    path = kernels_in(flash)
    if path:
        path.unlink()
