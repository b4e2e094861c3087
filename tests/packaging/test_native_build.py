"""Engine native is built where that is possible, and what is built is free of undefined behaviour.

Each time in an environment of its own, of a copy of the sources.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.packaging import ISAS, PIP, copy_of_sources, environment, native_tests, run

# No compiler; a compiler that finds no header, as without Python's.
WITHOUT = {"no compiler": {"CC": "false"}, "no headers": {"CFLAGS": "-nostdinc"}}
SANITIZERS = "-fsanitize=address,undefined -fno-omit-frame-pointer -g1"


def install(folder: Path, *, editable: bool, **variables: str) -> Path:
    """Install a copy of the sources, with these variables set, and return the Python that has it.

    Without build isolation: setuptools is here already.
    """
    python = environment(folder / "environment")
    words = ["--python", python, "install", "--quiet", "--no-deps", "--no-build-isolation"]
    sources = copy_of_sources(folder / "sources")
    run(*PIP, *words, *["--editable"][: int(editable)], sources, cwd=folder, **variables)
    return python


@pytest.mark.parametrize("variables", WITHOUT.values(), ids=WITHOUT)
@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_an_install_without_a_compiler(
    variables: dict[str, str], editable: bool, tmp_path: Path
) -> None:
    microgpt = (install(tmp_path, editable=editable, **variables), "-m", "microgpt")
    assert not [*tmp_path.rglob("_native*.so"), *tmp_path.rglob("_native*.pyd")]

    run(*microgpt, "train", "--steps", "3", "--out", "run", cwd=tmp_path)
    assert json.loads((tmp_path / "run/run.json").read_text())["engine"] == "tensor"
    assert run(*microgpt, "generate", "run", "--num-samples", "2", cwd=tmp_path).count("\n") == 2

    words = (*microgpt, "train", "--steps", "3", "--engine", "native")
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "engine native was not built here: install a C compiler" in result.stderr


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment whose engine native has the sanitizers."""
    folder = tmp_path_factory.mktemp("sanitized")
    return install(folder, editable=True, CC="gcc", CFLAGS=SANITIZERS)


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: apt install gcc libc6-dev")
@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_engine_native_under_sanitizers(isa: str, sanitized: Path, tmp_path: Path) -> None:
    """All its tests, with GCC's sanitizers for addresses and for undefined behaviour.

    The largest model takes a third of the time, and is plain only: in its sizes, all multiples of
    the widest vector, the others do what they do in smaller ones.

    What they find ends the process, and is in a file beside: pytest holds the process's own.
    """
    libraries = [
        run("gcc", f"-print-file-name={name}.so", cwd=tmp_path).strip()
        for name in ("libasan", "libubsan")
    ]
    preload = {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    if isa not in run(sanitized, "-c", ISAS, cwd=tmp_path, **preload).split():
        pytest.skip(f"needs a processor with {isa}")
    chosen = "not 100_000" if isa == "plain" else "not 100_000 and not (tied and 512)"
    result = subprocess.run(
        (sanitized, "-m", "pytest", "-q", "-k", chosen),
        cwd=native_tests(tmp_path),
        env=preload
        | {
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={tmp_path}/report",  # Python leaks at its end
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={tmp_path}/report",
            "PYTHONMALLOC": "malloc",
            "MICROGPT_ISA": isa,
            "NATIVE_MODELS": "50",
        },
        capture_output=True,
        text=True,
    )
    reports = "".join(path.read_text() for path in tmp_path.glob("report*"))
    assert not reports
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"
    assert " passed" in result.stdout and "skipped" not in result.stdout
