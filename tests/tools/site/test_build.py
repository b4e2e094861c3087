"""The site is built or stays as it was; what is missing for it is said in one line."""

import json
from pathlib import Path

import pytest
from microgpt_board import resources
from microgpt_board.image import boards
from microgpt_board.site import build, facts, node
from ugpt import app

from tests.support.commands import microgpt_board

DEBIAN = "on Debian, apt install nodejs npm; elsewhere see nodejs.org"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, but for the programs of a shell script."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    """Write a program that is a shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def refused(*words: object) -> str:
    """Return the one line with which `microgpt-board` refuses these words."""
    result = microgpt_board(*words)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_without_node_a_line_says_what_is_needed(programs: Path, tmp_path: Path) -> None:
    line = refused("site", tmp_path / "site")
    assert line.endswith(
        f"make site needs Node 18 or later with npm, and there is no Node here: {DEBIAN}"
    )
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("said", ["v16.20.2", "v8.1.0", "nonsense", ""])
def test_node_is_too_old(programs: Path, tmp_path: Path, said: str) -> None:
    program(programs, "node", f"echo {said}")
    line = refused("site", tmp_path / "site")
    assert f"needs Node 18 or later with npm, and {programs / 'node'} is {said or 'of no'}" in line
    assert line.endswith(DEBIAN)


@pytest.fixture
def bundler(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Node whose bundler bundles nothing; the libraries are not installed."""
    program(programs, "node", 'test "$1" = --version && echo v18.20.4 || exit 0')
    monkeypatch.setattr(node, "install", lambda folder: None)
    return programs


def test_libraries_are_installed_again_when_the_lock_file_changes(
    programs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    lock = folder / "package-lock.json"
    lock.write_text("{}")
    with pytest.raises(node.ToolError, match="^make site needs Node .* there is no npm here: on "):
        node.install(folder)
    program(programs, "npm", "/bin/mkdir -p node_modules; echo $@ >> asked")
    node.install(folder)
    node.install(folder)
    asked = folder / "asked"
    assert asked.read_text().splitlines() == ["ci --no-audit --no-fund --loglevel=error"]
    lock.write_text("{ }")
    node.install(folder)
    assert len(asked.read_text().splitlines()) == 2
    lock.write_text("[]")
    program(programs, "npm", "echo npm error network; echo ' see the log' >&2; exit 1")
    with pytest.raises(node.ToolError, match="^npm ci, .* the network, failed: see the log$"):
        node.install(folder)
    long = "for i in $(seq 999); do echo error $i >&2; done; exit 1"
    program(programs, "npm", f"PATH=/bin:/usr/bin; {long}")
    with pytest.raises(node.ToolError, match=r"failed: error 1 error 2 .* \.\.\.$") as raised:
        node.install(folder)
    assert len(str(raised.value)) < 400
    with pytest.raises(node.ToolError):  # and not taken for installed
        node.install(folder)


def test_a_build_replaces_the_one_before(bundler: Path, tmp_path: Path) -> None:
    site = tmp_path / "build" / "site"
    result = microgpt_board("site", site)
    assert result.returncode == 0
    assert result.stdout.startswith(f"{site}: ")
    (site / "old").touch()
    assert microgpt_board("site", site).returncode == 0
    assert not (site / "old").exists()
    assert [path.name for path in site.parent.iterdir()] == ["site"]


def test_a_build_removes_nothing_but_the_site(
    bundler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "site.new" / "photo"
    photo.parent.mkdir()
    photo.touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "site")
    assert microgpt_board("site", tmp_path / "site").returncode == 0
    (tmp_path / "site" / "old").touch()
    assert microgpt_board("site", link).returncode == 0
    assert link.is_symlink()
    monkeypatch.chdir(tmp_path / "site")
    assert microgpt_board("site", ".").returncode == 0
    assert not (tmp_path / "site" / "old").exists()
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"link", "programs", "site", "site.new"}
    assert photo.exists()


def test_a_build_that_fails_leaves_the_one_before(bundler: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert microgpt_board("site", site).returncode == 0
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    broken = 'test "$1" = --version && echo v18.20.4 && exit; echo " no bundle" >&2; exit 1'
    program(bundler, "node", broken)
    assert refused("site", site).endswith("the bundler failed: no bundle")
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.glob("site.*"))


def test_a_folder_that_is_no_site_is_not_replaced(bundler: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "photo").touch()
    assert f"{folder} is there and is no site: name another folder" in refused("site", folder)
    file = tmp_path / "file"
    file.touch()
    assert f"{file} is there and is no site: name another folder" in refused("site", file)
    assert (folder / "photo").exists()
    assert file.exists()


def test_an_image_that_is_not_there_is_a_line(bundler: Path, tmp_path: Path) -> None:
    words = ("site", tmp_path / "site", "--image", tmp_path / "image.bin")
    assert f"{tmp_path / 'image.bin'} is not a file: microgpt-board image builds" in refused(*words)
    assert not (tmp_path / "site").exists()


def test_without_the_sources_a_line_says_where_they_are(
    tmp_path: Path, bundler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build.files, "packaged", lambda package: tmp_path)
    assert "run make site in a checkout" in refused("site", tmp_path / "site")


def test_the_facts_are_those_of_the_tools(bundler: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert microgpt_board("site", site).returncode == 0
    told = json.loads((site / build.FACTS).read_text())
    assert told["micropython"] == "1.29.0"
    assert {
        name: (setting["default"], setting["lowest"], setting["highest"])
        for name, setting in told["settings"].items()
    } == app.SETTINGS
    assert [board["name"] for board in told["boards"]] == list(boards.WITH_IMAGE)
    assert [board["title"] for board in told["boards"]] == [
        "ESP32",
        "ESP32 with PSRAM",
        "ESP32-S3",
        "ESP32-S3 with octal PSRAM",
        "ESP32-C3",
        "ESP32-C6",
    ]
    assert told["images"] == []
    for preset in told["presets"]:
        lines = (site / preset["file"]).read_text(encoding="utf-8").splitlines()
        assert preset["documents"] == len(lines)


def test_the_program_is_the_boards(bundler: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert microgpt_board("site", site).returncode == 0
    program = json.loads((site / "program.json").read_text())
    assert (site / "kernels.wasm").read_bytes() == resources.firmware(facts.KERNELS).read_bytes()
    folder = resources.device_package()
    assert program == {
        f"ugpt/{path.name}": path.read_text(encoding="utf-8") for path in folder.glob("*.py")
    }
