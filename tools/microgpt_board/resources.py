"""Where the files are that are not code: firmware sources, partition table, prebuilt kernels.

They are package data, so that an installed wheel has them as the repository does.
"""

from importlib.resources import as_file, files
from pathlib import Path


def firmware(name: str) -> Path:
    """Return a file of the folder firmware/."""
    with as_file(files("microgpt_board.firmware") / name) as path:
        return path


def device_package() -> Path:
    """Return the folder of the package `ugpt`."""
    with as_file(files("ugpt")) as path:
        return path
