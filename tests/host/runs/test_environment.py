"""What a run writes down of its environment, also where something of it cannot be had."""

import os
import platform
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from microgpt.runs import environment


def not_there(*_: object, **__: object) -> NoReturn:
    raise FileNotFoundError


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", not_there)
    assert environment.commit() is None
    found = environment.environment()
    assert (found["commit"], found["dirty"]) == (None, False)


def test_outside_a_repository_there_is_none_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nothing"))
    assert environment.commit() is None


def test_a_repository_is_read_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    file = tmp_path / "file"
    file.write_text("content")
    git("init")
    git("add", "file")
    os.utime(file, (1, 1))  # git status would write the new time to its index
    index = tmp_path / ".git" / "index"
    before = index.read_bytes()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert environment.environment()["dirty"]
    assert index.read_bytes() == before


def test_what_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "threadpool_info", list)
    monkeypatch.setattr(environment, "version", lambda _: "1")  # reads files too
    monkeypatch.setattr(environment, "commit", lambda: None)
    monkeypatch.setattr(environment, "_git", lambda *_: None)
    monkeypatch.setattr(Path, "read_text", not_there)
    monkeypatch.setattr(platform, "processor", lambda: "a processor")
    found = environment.environment()
    assert (found["blas"], found["processor"]) == (None, "a processor")
