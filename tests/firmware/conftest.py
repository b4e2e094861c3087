"""Run every test here in each implementation: CPython, MicroPython, MicroPython's native emitter.

A test is a plain function of a module that imports only `ugpt` and what MicroPython has too. In
MicroPython it runs by itself in a process of its own: a failed assert is the test's failure. With
`--device PORT` it runs on the board at PORT, which has the package already, and nowhere else.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools import build
from tools.errors import ToolError
from tools.micropython import find_micropython

FIRMWARE = Path(__file__).parents[2] / "firmware"
HEAP = "heapsize=300k"
RUN_ONE = "import sys; sys.path[:0] = {paths!r}; import {module}; {module}.{function}()"


IMPLEMENTATIONS = ("cpython", "micropython", "micropython-native")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A module may name its own, where only some implementations have what it tests.
    names = getattr(metafunc.module, "IMPLEMENTATIONS", IMPLEMENTATIONS)
    if metafunc.config.getoption("device"):
        names = ("device",)
    metafunc.parametrize("package", names, indirect=True)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ugpt/*.mpy as `make run` has it, its kernels in native code."""
    folder = tmp_path_factory.mktemp("flash")
    build.compile_package(folder, build.virtual_architecture(find_micropython()))
    return folder


@pytest.fixture(scope="session")
def compiled_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules here as .mpy: a board's memory is too small to compile them."""
    folder = tmp_path_factory.mktemp("device")
    for source in Path(__file__).parent.glob("*.py"):
        if source.stem != "conftest":
            build.compile_file(source, folder / f"{source.stem}.mpy")
    return folder


@pytest.fixture(autouse=True)
def package(request: pytest.FixtureRequest) -> Path | None:
    """The folder from which MicroPython imports `ugpt`; None: this is CPython."""
    if request.param == "cpython":
        return None
    if request.param == "device":
        return request.getfixturevalue("compiled_tests")
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    if request.param == "micropython":
        return FIRMWARE
    folder = request.getfixturevalue("compiled")
    if request.param == "machine-code" and not (folder / "ugpt" / "kernels.mpy").exists():
        pytest.skip("no native kernels for this computer: on Linux x86-64 they need gcc")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    package = pyfuncitem.funcargs["package"]
    if package is None:
        return None
    port = pyfuncitem.config.getoption("device")
    code = RUN_ONE.format(
        paths=["/", ""] if port else [str(package), str(pyfuncitem.path.parent)],
        module=pyfuncitem.path.stem,
        function=pyfuncitem.originalname,
    )
    if port:
        mpremote = [sys.executable, "-m", "mpremote", "connect", port]
        command = [*mpremote, "mount", str(package), "exec", code]
    else:
        command = [find_micropython(), "-X", HEAP, "-c", code]
    with tempfile.TemporaryDirectory() as scratch:
        result = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300)
    if result.returncode:
        pytest.fail(result.stdout + result.stderr, pytrace=False)
    return True
