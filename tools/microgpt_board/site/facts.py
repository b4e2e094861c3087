"""What the page is told: settings, formats, boards, lists of documents, and the board's program."""

import json
from collections.abc import Iterable
from pathlib import Path

from microgpt.system.files import packaged
from ugpt import app, dataset
from ugpt.layout import Sizes
from ugpt.tokenizer import LETTERS
from ugpt.version import __version__

from microgpt_board import resources
from microgpt_board.image import boards, manifest, names_bin
from microgpt_board.site import log_rules

KERNELS = "native/kernels.wasm"
PRESETS = {  # name: (title, file, about)
    "names": (
        "First names",
        "names.txt",
        "First names of children born in the United States in 2017, in a to z.",
    ),
    "towns": (
        "Towns",
        "towns.txt",
        "Towns of Germany, Austria and Switzerland, with capitals, umlauts and hyphens.",
    ),
}


def program() -> dict[str, str]:
    """Return the board's program: the text of each file."""
    folder = resources.device_package()
    return {
        f"{folder.name}/{path.name}": path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("*.py"))
    }


def lists() -> dict[str, Path]:
    """Return the files of the presets, by their path in the site."""
    return {f"data/{file}": packaged("microgpt.datasets", file) for _, file, _ in PRESETS.values()}


def presets() -> list[dict[str, object]]:
    """Return what the page says of each list of documents, and where it is."""
    found = []
    for name, (title, file, about) in PRESETS.items():
        text = packaged("microgpt.datasets", file).read_text(encoding="utf-8")
        found.append(
            {
                "name": name,
                "title": title,
                "about": about,
                "file": f"data/{file}",
                "documents": sum(1 for line in text.splitlines() if line.strip()),
            }
        )
    return found


def about_boards() -> list[dict[str, object]]:
    """Return what the page needs of each board that has an image: names, memory for training."""
    found = [boards.find(name) for name in boards.WITH_IMAGE]
    return [
        {
            "name": board.name,
            "title": board.title,
            "chip_family": manifest.chip_family(board),
            "free": board.memory.free,
            "piece": board.memory.piece,
        }
        for board in found
    ]


def site(micropython: str, images: Iterable[dict[str, str]]) -> dict[str, object]:
    """Return site.json, for the page with this MicroPython and these images for boards."""
    return {
        "version": __version__,
        "micropython": micropython,
        "settings": {
            name: {"default": default, "lowest": lowest, "highest": highest}
            for name, (default, lowest, highest) in app.SETTINGS.items()
        },
        "names_format": {
            "magic": dataset.MAGIC.decode(),
            "version": dataset.VERSION,
            "header_size": dataset.HEADER_SIZE,
            "alignment": dataset.ALIGNMENT,
            "max_record_size": dataset.MAX_RECORD_SIZE,
            "max_characters": dataset.MAX_CHARACTERS,
            "max_text": names_bin.MAX_TEXT,
            "max_bytes": names_bin.MAX_BYTES,
            "block_size": Sizes().block_size,
            "letters": LETTERS,
        },
        "presets": presets(),
        "log": log_rules.rules(),
        "boards": about_boards(),
        "images": list(images),
    }


def as_json(value: object) -> str:
    """Return JSON, the same text for the same value."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
