"""Which MicroPython is taken, and what is said where there is none."""

import shutil
import stat
import sys
from pathlib import Path

import pytest
from microgpt_board.emulation.micropython import find_micropython, virtual_architecture
from microgpt_board.errors import ToolError


def program(folder: Path, name: str, text: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without MicroPython; returns the only folder of its PATH."""
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    return tmp_path / "path"


def test_without_any_the_message_says_how_to_get_one(empty_environment: Path) -> None:
    with pytest.raises(ToolError, match=r"MICROPYTHON=/path/to/micropython"):
        find_micropython()


def test_the_order(empty_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = program(empty_environment, "micropython")
    assert find_micropython() == str(on_path)
    beside = program(Path(sys.executable).parent, "micropython")
    assert find_micropython() == str(beside)
    named = program(empty_environment.parent / "mine", "upy")
    monkeypatch.setenv("MICROPYTHON", str(named))
    assert find_micropython() == str(named)
    monkeypatch.setenv("MICROPYTHON", str(named) + "-not-there")
    with pytest.raises(ToolError, match="not a program"):
        find_micropython()


def test_another_program_or_an_old_micropython_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is not MicroPython"):
        virtual_architecture(str(program(tmp_path, "cat", "echo meow")))
    with pytest.raises(ToolError, match="does not load"):
        virtual_architecture(str(program(tmp_path, "old", "echo 5")))


def test_a_machine_without_native_code_runs_bytecode(tmp_path: Path) -> None:
    assert virtual_architecture(str(program(tmp_path, "arm64", "echo 774"))) is None


def test_a_named_micropython_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which(
        "micropython"
    )
    if not real:
        pytest.skip("needs MicroPython on this computer")
    wrapper = program(tmp_path, "mine", f'touch "{tmp_path}/used"\nexec "{real}" "$@"\n')
    monkeypatch.setenv("MICROPYTHON", str(wrapper))
    virtual_architecture(find_micropython())
    assert (tmp_path / "used").exists()
