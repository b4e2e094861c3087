"""The site as it is built: its sources are checked, its libraries locked, its size bounded."""

import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from microgpt_board.image import boards, image
from microgpt_board.image.names_bin import Source
from microgpt_board.site import build

from tests.support.release import release
from tests.support.web.node import WEB, JsError, call, evaluate, find_node

LARGEST = 1_000_000  # bytes, compressed, without images for boards


def test_functions_of_the_pages_are_called_in_node() -> None:
    assert call("common/text.js", "grouped", 4192) == "4,192"
    assert evaluate("return [args[0].length, new Uint8Array([1, 2])]", b"abc") == [3, b"\1\2"]
    with pytest.raises(JsError, match="no such thing"):
        evaluate("throw new Error('no such thing')")


@pytest.mark.parametrize("words", [["typescript/bin/tsc"], ["eslint/bin/eslint.js", "."]])
def test_sources_are_checked(words: list[str]) -> None:
    node = find_node()
    program, *rest = words
    command = [node, WEB / "node_modules" / program, *rest]
    result = subprocess.run(command, cwd=WEB, capture_output=True, text=True)
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_every_library_is_pinned_and_locked() -> None:
    asked = json.loads((WEB / "package.json").read_text())
    packages = json.loads((WEB / "package-lock.json").read_text())["packages"]
    for name, version in (asked["dependencies"] | asked["devDependencies"]).items():
        assert re.fullmatch(r"[\d.]+(-\d+)?", version), f"{name} is not pinned"
        assert packages[f"node_modules/{name}"]["version"] == version
    locked = {name: package for name, package in packages.items() if name}
    assert all(package["integrity"].startswith("sha512-") for package in locked.values())
    # The address of a registry would be that of whoever wrote the lock file.
    assert not [name for name, package in locked.items() if "resolved" in package]


def test_all_of_it_is_small(site_folder: Path) -> None:
    sizes = {
        path.relative_to(site_folder).as_posix(): len(gzip.compress(path.read_bytes(), mtime=0))
        for path in site_folder.rglob("*")
        if path.is_file()
    }
    assert sum(sizes.values()) < LARGEST, sizes


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_sources_give_the_same_site(site_folder: Path, tmp_path: Path) -> None:
    build.build(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(site_folder)


def test_the_service_worker_keeps_all_but_the_images(site_folder: Path, tmp_path: Path) -> None:
    board = boards.find(boards.DEFAULT)
    firmware = tmp_path / "release.bin"
    firmware.write_bytes(release(board))
    file = tmp_path / board.name / "image.bin"
    names = tmp_path / "names.txt"
    names.write_text("emma\n")
    image.write_image(file, board, firmware, Source(names))
    site = tmp_path / "site"
    build.build(site, (file,))
    assert (site / "images" / board.name / "image.bin").read_bytes() == file.read_bytes()
    text = (site / "sw.js").read_text()
    kept = re.findall(r'"?([^",{]+)"?:"sha256-', text)
    others = {"./" if name == "index.html" else name for name in contents(site_folder)}
    assert set(kept) == others - {"sw.js"}


def test_it_brings_the_licences_of_what_it_is_made_of(site_folder: Path) -> None:
    text = (site_folder / "licenses.txt").read_text()
    for name in (
        "microgpt-esp32",
        "@micropython/micropython-webassembly-pyscript",
        "@noble/hashes",
        "esp-web-tools",
    ):
        assert re.search(rf"^{name}\b", text, re.MULTILINE), name


def test_the_page_states_what_it_may_do(site_folder: Path) -> None:
    page = (site_folder / "index.html").read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert rules["style-src"] == "'self'"
    assert "http" not in policy and "*" not in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page)
    # Relative, so that it works wherever it is put.
    for address in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert re.match(r"[\w#.]", address) and "//" not in address, address


def test_what_main_imports_is_fetched_beside_it(site_folder: Path) -> None:
    page = (site_folder / "index.html").read_text()
    ahead = set(re.findall(r'rel="modulepreload" href="([^"]*)"', page))
    main = (site_folder / "main.js").read_text()
    imported = re.findall(r'(?:from|import)"\./parts/([^"]*)"', main)
    assert ahead == {f"parts/{name}" for name in imported}
    assert all((site_folder / path).is_file() for path in ahead)
