"""Replacing a file or a folder: after a kill at any call, the old or the new content is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from microgpt import files

OLD, NEW = b"old" * 1000, b"new" * 5000
KILLED = 9

# A process that replaces `target` and ends without any cleanup before its Nth call of the system.
KILL = f"""
import os, shutil, sys
from pathlib import Path
from microgpt import files

target, kind, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0

def counted(owner, name):
    function = getattr(owner, name)
    def call(*arguments, **keywords):
        global calls
        calls += 1
        if calls == last:
            os._exit({KILLED})
        return function(*arguments, **keywords)
    setattr(owner, name, call)

for owner, name in ((os, "fsync"), (os, "open"), (Path, "rename"), (Path, "replace"),
                    (Path, "unlink"), (Path, "mkdir"), (Path, "write_bytes"), (shutil, "rmtree")):
    counted(owner, name)
with files.replacing(target) as new:
    if kind == "folder":
        new.mkdir()
        (new / "a").write_bytes(b"new" * 5000)
        (new / "b").write_bytes(b"new" * 5000)
    else:
        new.write_bytes(b"new" * 5000)
"""


def put(target: Path, kind: str, content: bytes) -> None:
    with files.replacing(target) as new:
        if kind == "folder":
            new.mkdir()
            (new / "a").write_bytes(content)
            (new / "b").write_bytes(content)
        else:
            new.write_bytes(content)


def content(target: Path, kind: str) -> set[bytes]:
    """Return the content of a file, or of all files of a folder."""
    return {p.read_bytes() for p in target.iterdir()} if kind == "folder" else {target.read_bytes()}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_at_any_call_leaves_the_old_or_the_new_content(tmp_path: Path, kind: str) -> None:
    seen = []
    for last in range(1, 40):
        target = tmp_path / str(last) / "target"
        put(target, kind, OLD)
        result = subprocess.run([sys.executable, "-c", KILL, str(target), kind, str(last)])
        there = target if target.exists() else files.backup_of(target)
        if kind == "file":
            assert there == target  # a file is never missing
        (found,) = content(there, kind)
        assert found in (OLD, NEW)
        seen.append(found)
        put(target, kind, b"next")  # what the kill left behind is in nobody's way
        assert content(target, kind) == {b"next"}
        if result.returncode == 0:
            break
        assert result.returncode == KILLED
    assert result.returncode == 0
    assert seen == sorted(seen, reverse=True)  # old up to one of the calls, new from it on
    assert set(seen) == {OLD, NEW}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    put(target, kind, OLD)
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), files.replacing(target) as new:
            if kind == "folder":
                new.mkdir()
                (new / "a").write_bytes(NEW)
            else:
                new.write_bytes(NEW)
            raise error
        assert content(target, kind) == {OLD}
        assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_leaves_no_file_where_none_was(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.replacing(tmp_path / "target") as new:
        new.write_bytes(NEW)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_moved_away_by_a_kill_comes_back_when_the_next_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "target"
    put(target, "folder", OLD)
    target.rename(files.backup_of(target))  # as a kill between the two renames leaves it
    with pytest.raises(RuntimeError), files.replacing(target):
        raise RuntimeError
    assert content(target, "folder") == {OLD}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_left_is_harmless(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    left = tmp_path / f"target.{os.getpid() + 1}.new"
    own = tmp_path / f"target.{os.getpid()}.new"  # of a process that had this number before
    for path in (left, own):
        path.mkdir()
        (path / "c").write_bytes(b"half")
    put(target, kind, NEW)
    assert content(target, kind) == {NEW}
    assert (left / "c").read_bytes() == b"half"  # its process may still be writing it
    assert not own.exists()


def test_two_processes_at_once_leave_the_content_of_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with files.replacing(target) as first:
        first.write_bytes(OLD)
        command = [sys.executable, "-c", KILL, str(target), "file", "0"]
        assert subprocess.run(command).returncode == 0
        assert target.read_bytes() == NEW
    assert target.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [target]


def test_write_takes_text_and_bytes_and_makes_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "target"
    files.write(target, "é\n")
    assert target.read_bytes() == b"\xc3\xa9\n"
    files.write(target, b"\0")
    assert target.read_bytes() == b"\0"


def test_a_relative_path_is_of_the_folder_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with files.replacing(Path("target")) as new:
        new.write_bytes(NEW)
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert (tmp_path / "target").read_bytes() == NEW


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        files.write(tmp_path / "target", NEW)
    assert error.value.filename == str(tmp_path / "target")
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]


def test_a_new_folder_gets_the_first_number_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "results" / "ablation"
    assert files.new_folder(path) == path
    path.with_name("ablation-2").write_text("a file")
    assert files.new_folder(path) == path.with_name("ablation-3")
    assert path.with_name("ablation-3").is_dir()
