"""Where the files are that are not code: firmware sources, partition table, prebuilt kernels.

They are package data, so that an installed wheel has them as the repository does.
"""

from pathlib import Path

from microgpt.system.files import packaged


def firmware(name: str) -> Path:
    """Return a file of the folder firmware/."""
    return packaged("microgpt_board.firmware", name)


def device_package() -> Path:
    """Return the folder of the package `ugpt`."""
    return packaged("ugpt")
