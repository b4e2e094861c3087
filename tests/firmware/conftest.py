"""Run every test here in each implementation: CPython, MicroPython, MicroPython's native emitter.

A test is a plain function of a module that imports only `ugpt` and what MicroPython has too. In
MicroPython it runs by itself in a process of its own: a failed assert is the test's failure. With
`--device PORT` it runs on the board at PORT, which has the package already, and nowhere else;
those do not that need more memory (a module's HEAP) or longer floats (NEED_DOUBLES) than a board's.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from microgpt_board.emulation.micropython import find_micropython, virtual_architecture
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build

from tests.support.kernels import native_kernels

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
CONNECTIONS = 3  # a board that is restarting does not answer the first
HEAP = "300k"  # a module may name its own; it is then too much for a board
# `import ugpt` makes MicroPython collect garbage often, which is slow; a test has room enough.
RUN_ONE = (
    "import sys; sys.path[:0] = {paths!r}; import ugpt, gc; gc.threshold(-1); "
    "import {module} as m; m.{function}()"
)

IMPLEMENTATIONS = ("cpython", "micropython", "micropython-native")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A module may name its own, where only some implementations have what it tests.
    names = getattr(metafunc.module, "IMPLEMENTATIONS", IMPLEMENTATIONS)
    if metafunc.config.getoption("device"):
        skipped = metafunc.function.__name__ in getattr(metafunc.module, "NEED_DOUBLES", ())
        names = () if skipped or hasattr(metafunc.module, "HEAP") else ("device",)
    metafunc.parametrize("package", names, indirect=True)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ugpt/*.mpy as `make run` has it, its kernels in native code."""
    folder = tmp_path_factory.mktemp("flash")
    build.compile_package(folder, virtual_architecture(find_micropython()))
    return folder


@pytest.fixture(scope="session")
def compiled_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules here as .mpy: a board's memory is too small to compile them."""
    folder = tmp_path_factory.mktemp("device")
    for name in ("firmware", "support/micropython"):
        target = folder / "tests" / name
        target.mkdir(parents=True)
        for source in (ROOT / "tests" / name).glob("*.py"):
            if source.name not in ("conftest.py", "trace.py"):
                build.compile_file(source, target / f"{source.stem}.mpy")
    return folder


@pytest.fixture(autouse=True)
def package(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path | None:
    """The folder from which MicroPython imports `ugpt`; None: this is CPython."""
    monkeypatch.chdir(tmp_path)  # some tests write files
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
    if request.param == "machine-code":
        native_kernels(folder)
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    package = pyfuncitem.funcargs["package"]
    if package is None:
        return None
    port = pyfuncitem.config.getoption("device")
    code = RUN_ONE.format(
        paths=["/", ""] if port else [str(package), str(ROOT)],
        module=f"tests.firmware.{pyfuncitem.path.stem}",
        function=pyfuncitem.originalname,
    )
    if port:
        mpremote = [sys.executable, "-m", "mpremote", "connect", port]
        command = [*mpremote, "mount", str(package), "exec", code]
    else:
        heap = getattr(pyfuncitem.module, "HEAP", HEAP)
        command = [find_micropython(), "-X", f"heapsize={heap}", "-c", code]
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(CONNECTIONS):
            result = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, timeout=300
            )
            if "could not enter raw repl" not in result.stdout + result.stderr:
                break
    if result.returncode:
        pytest.fail(result.stdout + result.stderr, pytrace=False)
    return True
