"""The wheel, installed with [board] into an empty environment, away from the checkout.

What it needs is fetched as anybody's would be; with PIP_CONSTRAINT, as in CI, in locked versions.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from microgpt_board.image import boards

from tests.support.packaging import PIP, ROOT, copy_of_sources, native_tests, run
from tests.support.release import release

STEPS = 50
BOARD_STEPS = 20
FLASH = 4 * 2**20
QEMU = "qemu-x86_64"

# A program that trains a model of engine native and one of engine tensor, and compares them.
COMPARISON = """
import microgpt, numpy
from microgpt.engines import _native
both = [microgpt.create(microgpt.ModelConfig(), engine=e) for e in ("native", "tensor")]
for model in both:
    list(microgpt.train(model, ["emma", "olivia"], microgpt.TrainConfig(steps=20)))
for name, matrix in both[0].weights.items():
    assert numpy.allclose(matrix, both[1].weights[name], atol=1e-4), name
print(_native.isa)
"""

FILES = (
    "microgpt/datasets/names.txt",
    "microgpt/datasets/conversations.jsonl",
    "microgpt/datasets/conversations-validation.jsonl",
    "microgpt/py.typed",
    "microgpt_board/py.typed",
    "microgpt_board/emulation/cortex_m.c",
    "microgpt_board/emulation/xtensa.c",
    "microgpt_board/firmware/boot.py",
    "microgpt_board/firmware/main.py",
    "microgpt_board/firmware/partitions.csv",
    "microgpt_board/firmware/native/arithmetic.h",
    "microgpt_board/firmware/native/kernels.c",
    "microgpt_board/firmware/native/kernels_armv7emsp.mpy",
    "microgpt_board/firmware/native/kernels_x64.mpy",
    "microgpt_board/firmware/native/kernels_xtensawin.mpy",
    "microgpt_board/firmware/native/kernels.wasm",
    "microgpt_board/firmware/native/loops.h",
    "microgpt_board/firmware/native/loops/cortex_m.h",
    "microgpt_board/firmware/native/loops/cortex_m_tiles.h",
    "microgpt_board/firmware/native/loops/plain.h",
    "microgpt_board/firmware/native/loops/xtensa.h",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the source distribution: that has all it takes, the C too."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = copy_of_sources(folder / "sources")
    sdist = "from setuptools.build_meta import build_sdist; build_sdist('..')"
    run(sys.executable, "-c", sdist, cwd=sources)
    (archive,) = folder.glob("*.tar.gz")
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", folder, archive, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path) -> Path:
    """The folder of the commands of an environment with nothing but the wheel[board]."""
    environment = wheel.parent / "environment"
    venv.create(environment, with_pip=True)
    folder = environment / "bin"
    pip = (folder / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", f"{wheel}[board]", cwd=wheel.parent)
    return folder


def test_the_wheel_has_every_file(wheel: Path) -> None:
    there = set(ZipFile(wheel).namelist())
    modules = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in (
            ("host/microgpt", "microgpt"),
            ("tools/microgpt_board", "microgpt_board"),
            ("firmware/ugpt", "ugpt"),
        )
        for path in (ROOT / folder).rglob("*.py")
    }
    # The service's page; the site is built from a checkout.
    pages = {
        f"microgpt/web/{path.relative_to(ROOT / 'host/web').as_posix()}"
        for folder in ("service", "common")
        for path in (ROOT / "host/web" / folder).iterdir()
    }
    assert len(modules) > 80 and len(pages) > 5
    assert (modules | pages | set(FILES)) - there == set()
    tops = {name.split("/")[0] for name in there}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "microgpt",
        "microgpt_board",
        "ugpt",
    }


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: apt install gcc libc6-dev")
def test_the_wheel_has_engine_native_for_every_python(wheel: Path) -> None:
    assert "microgpt/engines/_native.abi3.so" in ZipFile(wheel).namelist()
    platform = re.sub(r"\W", "_", sysconfig.get_platform())  # such as linux_x86_64
    assert wheel.name.endswith(f"-cp311-abi3-{platform}.whl")


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: apt install gcc libc6-dev")
def test_engine_native_in_the_wheel(commands: Path, tmp_path: Path) -> None:
    run(commands / "python", "-m", "pip", "install", "pytest", "hypothesis", cwd=tmp_path)
    tests = native_tests(tmp_path)
    words = (commands / "python", "-m", "pytest", "-q", "-k", "not 100_000")
    said = run(*words, cwd=tests, NATIVE_MODELS="50")
    assert " passed" in said and "skipped" not in said


@pytest.mark.skipif(not shutil.which(QEMU), reason=f"needs {QEMU}: apt install qemu-user")
@pytest.mark.parametrize(("processor", "isa"), [("Nehalem", "plain"), ("Haswell", "avx2")])
def test_it_runs_on_other_processors(
    commands: Path, tmp_path: Path, processor: str, isa: str
) -> None:
    """On emulated ones of 2008, without AVX, and of 2013."""
    words = (QEMU, "-cpu", processor, commands / "python", "-c", COMPARISON)
    # OpenBLAS takes the emulated processor for a later one.
    assert run(*words, cwd=tmp_path, OPENBLAS_CORETYPE=processor) == f"{isa}\n"


@pytest.mark.parametrize("verb", ["site", "package"])
def test_what_is_built_of_a_checkout(commands: Path, tmp_path: Path, verb: str) -> None:
    result = subprocess.run(
        [commands / "microgpt-board", verb], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert f"run make {verb} in a checkout" in result.stderr
    assert result.stderr.count("\n") == 1


def test_it_trains(commands: Path, tmp_path: Path) -> None:
    run(commands / "microgpt", "train", "--steps", str(STEPS), cwd=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    assert len((folder / "log.jsonl").read_text().splitlines()) == STEPS
    assert (folder / "model" / "weights.json").exists()


def test_the_virtual_board_runs(commands: Path, tmp_path: Path) -> None:
    output = run(commands / "microgpt-board", "run", "--steps", str(BOARD_STEPS), cwd=tmp_path)
    assert "name" in output
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "run.json").exists()


def test_an_image_is_built(commands: Path, tmp_path: Path) -> None:
    board = boards.find(boards.DEFAULT)
    firmware = tmp_path / "release.bin"
    firmware.write_bytes(release(board))
    run(commands / "microgpt-board", "image", "--firmware", firmware, cwd=tmp_path)
    (image,) = tmp_path.rglob("image.bin")
    assert image.stat().st_size == FLASH
