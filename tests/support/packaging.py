"""A copy of what a wheel is made of, and environments to install it in."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
SOURCES = ("data", "firmware", "host", "tools", *FILES)
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "node_modules", "*.so")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")

# A program that says which instruction sets engine native has here.
ISAS = "from microgpt.engines import _native; print(*_native.isas)"


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command, with these variables too, and return what it says."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    result = subprocess.run(
        words, cwd=cwd, env=outside | environment, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{words}\n{result.stdout}{result.stderr}"
    return result.stdout


def copy_of_sources(folder: Path) -> Path:
    """Copy the sources to `folder`: built in place, a wheel would take in what build/ has left."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=NOT_SOURCES)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def native_tests(folder: Path) -> Path:
    """Copy the tests of engine native, which need nothing but a few packages, to `folder`."""
    for pattern in ("support/engines.py", "support/models.py", "host/engines/test_native*.py"):
        for path in (ROOT / "tests").glob(pattern):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (folder / "conftest.py").write_text(
        "from hypothesis import settings\n"
        "settings.register_profile('no deadline', deadline=None)\n"  # as in tests/conftest.py
        "settings.load_profile('no deadline')\n"
        "pytest_plugins = ['tests.support.models']\n"
    )
    (folder / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\naddopts = --import-mode=importlib -p no:schemathesis\n"
        "filterwarnings = error\n"
    )
    return folder


def environment(folder: Path) -> Path:
    """Return the Python of a new environment that has all packages of this one but the project's.

    Those are found by a path, and so the finder of an editable install is not loaded.
    """
    venv.create(folder)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(packages, "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin/python"
