"""The virtual board of a browser's tab in Node, and what tests of it share."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from microgpt_board.image import names_bin, native
from microgpt_board.image.names_bin import Source
from microgpt_board.site import facts

from tests.support.web.node import evaluate

ROOT = Path(__file__).parents[3]
KERNELS = native.prebuilt(native.WASM).read_bytes()
HELPERS = "../../tests/support/web/board_in_node.mjs"
ACCENTS = ["Zoë", "Émile", "Çağla", "Łukasz", "Ångström", "naïve", "Ødegård", "日本", "ß"]


@pytest.fixture(scope="session")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """names.bin of each list of documents."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "accents.txt").write_text("\n".join(ACCENTS), encoding="utf-8")
    sources = {"accents": folder / "accents.txt"}
    sources |= {name: ROOT / "data" / f"{name}.txt" for name in ("names", "towns")}
    for name, path in sources.items():
        names_bin.read(Source(path)).write(folder / name)
    return {name: (folder / name).read_bytes() for name in sources}


def same(lines: list[str]) -> Iterator[str]:
    """Yield the lines without what is not the same on two machines: times, free memory."""
    for line in lines:
        yield re.sub(r"(ms|free):\S+", r"\1:", re.sub(r"of [\d,]+ free", "of free", line))


def parts(kernels: bytes | None = KERNELS) -> dict[str, Any]:
    return {"program": facts.program(), "kernels": kernels}


def in_node(code: str, *args: object) -> Any:
    """Run JavaScript, the body of an async function, with `args` and the helpers in scope."""
    head = f"const {{ made, exhaust, log }} = await load({HELPERS!r});\n"
    return evaluate(head + code, *args)


def log_of(
    run: dict[str, Any], how: dict[str, Any] | None = None, kernels: bytes | None = KERNELS
) -> list[str]:
    lines: list[str] = in_node("return log(...args)", parts(kernels), run, how or {})
    return lines
