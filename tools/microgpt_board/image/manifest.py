"""The manifest of an image: what ESP Web Tools needs to write it to a board from a page.

https://esphome.github.io/esp-web-tools/ describes it. It also says where in the image the page
finds the documents and ugpt.json, to put others there, and which memory these must fit into.
"""

import hashlib
from collections.abc import Mapping
from typing import TypedDict

from esptool.targets import CHIP_DEFS
from microgpt.boards import Board
from ugpt.version import __version__

from microgpt_board.errors import ToolError
from microgpt_board.image import partitions
from microgpt_board.image.sizes import SETTINGS, settings_file

FILE = "manifest.json"  # beside the image


class Part(TypedDict):
    """A file, and where in the flash it goes."""

    path: str
    offset: int


class Build(TypedDict):
    """The files for a chip."""

    chipFamily: str
    parts: list[Part]


class OfBoard(TypedDict):
    """A board, and its memory for training, in bytes."""

    name: str
    free: int
    piece: int


class Place(TypedDict):
    """Where something is in the image, in bytes."""

    offset: int
    size: int


class Manifest(TypedDict):
    """The manifest; up to `builds` as ESP Web Tools defines it."""

    name: str
    version: str
    new_install_prompt_erase: bool
    builds: list[Build]
    board: OfBoard
    size: int
    sha256: str
    names: Place
    settings: Place


def chip_family(board: Board) -> str:
    """Return the chip of `board` as ESP Web Tools names it."""
    name: str = CHIP_DEFS[board.chip].CHIP_NAME
    return name


def build(board: Board, file: str, image: bytes, settings: Mapping[str, object]) -> Manifest:
    """Return the manifest of the image in `file`, whose ugpt.json has these settings.

    Raises ToolError if the page could not replace that ugpt.json.
    """
    names = partitions.read()["names"]
    content = settings_file(settings)
    place = image.find(content)
    if place < 0 or image.count(content) > 1:
        raise ToolError(f"{SETTINGS} is not in one piece in the image")
    return {
        "name": "microgpt-esp32",
        "version": __version__,
        "new_install_prompt_erase": True,
        "builds": [
            {"chipFamily": chip_family(board), "parts": [{"path": file, "offset": 0}]},
        ],
        "board": {
            "name": board.name,
            "free": board.memory.free,
            "piece": board.memory.piece,
        },
        "size": len(image),
        "sha256": hashlib.sha256(image).hexdigest(),
        "names": {"offset": names.offset, "size": names.size},
        "settings": {"offset": place, "size": len(content)},
    }
