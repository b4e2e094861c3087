"""The structure of the repository: lengths of files, import cycles, packages, marks."""

import tomllib
from pathlib import Path

import grimp
import pytest

from tests.conftest import MARKS

ROOT = Path(__file__).parents[1]
FOLDERS = ("host", "tools", "firmware", "tests", "data")
MOST_LINES = 350
README_LINES = 160  # and fewer
PACKAGES = ("microgpt", "microgpt_board", "ugpt")

# A Python file that may be longer, and why.
LONGER: dict[str, str] = {}


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_python_file_is_long() -> None:
    long = {path.relative_to(ROOT).as_posix() for path in sources() if lines(path) > MOST_LINES}
    assert long == set(LONGER), f"split it, or write in LONGER why not: more than {MOST_LINES}"


def test_the_readme_is_short() -> None:
    assert lines(ROOT / "README.md") < README_LINES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    """As the contract `acyclic` in pyproject.toml, but with each __init__ as a module."""
    graph = grimp.build_graph(package, cache_dir=None)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            back = graph.find_shortest_chain(imported, module)
            assert back is None, f"a circle: {' -> '.join((module, *back))}"


def test_every_package_is_in_the_wheel() -> None:
    """The list is written out, because packages of one wheel are in several folders."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = {name for name in settings["packages"] if name not in settings["package-dir"]}
    found = {
        f"{package}.{init.parent.relative_to(ROOT / folder).as_posix().replace('/', '.')}"
        for package, folder in settings["package-dir"].items()
        for init in (ROOT / folder).rglob("*/__init__.py")
        if package in PACKAGES
    }
    assert listed == found
    assert set(PACKAGES) <= set(settings["packages"])


def test_every_folder_with_modules_is_a_package() -> None:
    """A namespace package would be in the checkout and not in the wheel."""
    for package in ("host/microgpt", "tools/microgpt_board", "firmware/ugpt"):
        for path in (ROOT / package).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path.parent


@pytest.mark.parametrize("beginning", [b for beginnings in MARKS.values() for b in beginnings])
def test_every_mark_names_a_test_that_exists(beginning: str) -> None:
    file, _, function = beginning.partition("::")
    path = ROOT / "tests" / file
    assert any(path.rglob("test_*.py")) if path.is_dir() else f"def {function}" in path.read_text()
