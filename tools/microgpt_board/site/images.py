"""The images for boards that the page can write, with their manifests."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from microgpt_board.errors import ToolError
from microgpt_board.image import boards, manifest

FOLDER = "images"


def copy(images: Iterable[Path], site: Path) -> list[dict[str, str]]:
    """Copy each image, with the manifest beside it, into a site; return what the page is told.

    Raises ToolError if one has no manifest that is its own, or two are for the same board.
    """
    found: dict[str, str] = {}
    for image in images:
        about = _read(image)
        board = about["board"]["name"]
        if board in found:
            raise ToolError(f"two images are for {board}: name one of them")
        folder = site / FOLDER / board
        folder.mkdir(parents=True)
        shutil.copyfile(image, folder / about["builds"][0]["parts"][0]["path"])
        shutil.copyfile(image.with_name(manifest.FILE), folder / manifest.FILE)
        found[board] = f"{FOLDER}/{board}/{manifest.FILE}"
    return [{"board": board, "manifest": path} for board, path in found.items()]


def _read(image: Path) -> manifest.Manifest:
    """Return the manifest beside an image; raise ToolError if it is not that image's."""
    if not image.is_file():
        raise ToolError(f"{image} is not a file: microgpt-board image builds an image")
    beside = image.with_name(manifest.FILE)
    again = "build the image again, with microgpt-board image"
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    try:
        about: manifest.Manifest = json.loads(beside.read_text(encoding="utf-8"))
        if about["sha256"] != digest:
            raise ToolError(f"{beside} is about another image than {image}: {again}")
        path = about["builds"][0]["parts"][0]["path"]
        if about["board"]["name"] not in boards.WITH_IMAGE or Path(path).name != path:
            raise ValueError("names of folders or files that are none of ours")
    except ToolError:  # which is a ValueError
        raise
    except OSError:
        raise ToolError(f"there is no {manifest.FILE} beside {image}: {again}") from None
    except (ValueError, TypeError, LookupError):
        raise ToolError(f"{beside} is damaged: {again}") from None
    return about
