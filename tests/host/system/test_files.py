"""Replacing files: after a kill at any call, the old or the new content is there."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import microgpt
import pytest
from microgpt.system import files

OLD, NEW, NEXT = b"old" * 1000, b"new" * 5000, b"next"
KILLED = 9
NAMES = ("a", "b")

# A process that replaces `target` and ends without any cleanup before its Nth call of the system.
KILL = f"""
import os, shutil, sys
from pathlib import Path
import microgpt
from tests.host.system.test_files import NEW, put

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
                    (Path, "unlink"), (Path, "mkdir"), (Path, "rmdir"), (Path, "open"),
                    (Path, "write_bytes"), (shutil, "rmtree")):
    counted(owner, name)
put(target, kind, NEW)
"""


def put(target: Path, kind: str, content: bytes) -> None:
    """Replace a file, the files of a folder, or a model, whose weights then tell the content."""
    if kind == "file":
        files.write(target, content)
    elif kind == "folder":
        with files.replacing_in(target) as new:
            for name in NAMES:
                (new / name).write_bytes(content)
    else:  # the weights of OLD and NEXT are in a file of another name than those of NEW
        form = "safetensors" if content == NEW else "json"
        config = microgpt.ModelConfig(n_embd=1, n_head=1, block_size=1)
        model = microgpt.create(config, f"{len(content):05}"[-1])
        for matrix in model.weights.values():
            matrix[...] = len(content)
        model.save(target, form)


def content(target: Path, kind: str) -> set[bytes]:
    """Return the contents of what `put` replaced, where it is replaced together: one, if whole."""
    if kind == "file":
        return {target.read_bytes()}
    if kind == "folder":
        found = set()
        for file in files.open_together(target, NAMES):
            assert file
            with file:
                found.add(file.read())
        return found
    model = microgpt.load(target)
    lengths = {int(x) for matrix in model.weights.values() for x in matrix.ravel()}
    return {c for c in (OLD, NEW, NEXT) if len(c) in lengths}


def kill(target: Path, kind: str, last: int) -> bool:
    """Replace `target` by NEW in a process that is killed at a call; return whether it ended."""
    command = [sys.executable, "-c", KILL, str(target), kind, str(last)]
    code = subprocess.run(command, cwd=Path(__file__).parents[3]).returncode
    assert code in (0, KILLED)
    return code == 0


@pytest.mark.parametrize("kind", ["file", "folder", "model"])
def test_a_kill_at_any_call_leaves_the_old_or_the_new_content(tmp_path: Path, kind: str) -> None:
    seen = []
    for last in range(1, 40):
        target = tmp_path / str(last) / "target"
        put(target, kind, OLD)
        ended = kill(target, kind, last)
        (found,) = content(target, kind)
        seen.append(found)
        put(target, kind, NEXT)  # what the kill left behind is in nobody's way
        assert content(target, kind) == {NEXT}
        if ended:
            break
    assert ended
    assert seen == sorted(seen, reverse=True)  # old up to one of the calls, new from it on
    assert set(seen) == {OLD, NEW}


def test_a_kill_while_files_are_moved_is_made_good_by_the_next_even_if_that_is_killed(
    tmp_path: Path,
) -> None:
    """At each call of the second process, the files of the first or those of the second count."""
    seen = []
    for last in range(1, 60):
        target = tmp_path / str(last)
        put(target, "folder", OLD)
        (target / files.PENDING).mkdir()  # as a kill leaves it: one file is moved, one is not
        (target / "a").write_bytes(NEXT)
        (target / files.PENDING / "b").write_bytes(NEXT)
        assert content(target, "folder") == {NEXT}
        ended = kill(target, "folder", last)
        (found,) = content(target, "folder")
        seen.append(found)
        if ended:
            break
    assert ended
    assert seen == sorted(seen, reverse=True)  # "next", then "new"
    assert set(seen) == {NEXT, NEW}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    put(target, kind, OLD)
    replacing = files.replacing if kind == "file" else files.replacing_in
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), replacing(target) as new:
            (new if kind == "file" else new / "a").write_bytes(NEW)
            raise error
        assert content(target, kind) == {OLD}
        assert list(tmp_path.iterdir()) == [target]
    if kind == "folder":
        assert sorted(path.name for path in target.iterdir()) == ["a", "b"]


def test_a_block_that_fails_leaves_no_file_where_none_was(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.replacing(tmp_path / "target") as new:
        new.write_bytes(NEW)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_leaves_no_folder_where_none_was(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.replacing_in(tmp_path / "target"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_left_is_harmless(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    form = "target.{}.new" if kind == "file" else f"target/{files.PENDING}.{{}}"
    left = tmp_path / form.format(os.getpid() + 1)
    own = tmp_path / form.format(os.getpid())  # of a process that had this number before
    for path in (left, own):
        path.mkdir(parents=True)
        (path / "c").write_bytes(b"half")
    put(target, kind, NEW)
    assert content(target, kind) == {NEW}
    assert (left / "c").read_bytes() == b"half"  # its process may still be writing it
    assert not own.exists()


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(OLD)
    (tmp_path / ".d").mkdir()
    put(tmp_path, "folder", NEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".d", "a", "b", "c"]
    assert (tmp_path / "c").read_bytes() == OLD


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    there, missing = files.open_together(tmp_path, NAMES)
    assert there
    with there:
        assert there.name == str(tmp_path / "a")
    assert missing is None
    assert [files.newest(tmp_path, name) for name in NAMES] == [tmp_path / "a", None]


def test_a_file_is_removed_together_with_the_change(tmp_path: Path) -> None:
    put(tmp_path, "folder", OLD)
    with files.replacing_in(tmp_path, ["a", "c"]) as new:
        (new / "b").write_bytes(NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_bytes() == NEW


def test_a_file_that_goes_does_not_count_while_the_others_are_moved(tmp_path: Path) -> None:
    put(tmp_path, "folder", OLD)
    (tmp_path / files.PENDING / "a").mkdir(parents=True)  # as a kill leaves it: "a" goes
    (tmp_path / files.PENDING / "b").write_bytes(NEW)
    gone, there = files.open_together(tmp_path, NAMES)
    assert there
    with there:
        assert (gone, there.read()) == (None, NEW)
    assert files.newest(tmp_path, "a") is None
    with files.replacing_in(tmp_path) as new:
        (new / "c").write_bytes(NEXT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def test_two_processes_at_once_leave_the_content_of_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with files.replacing(target) as first:
        first.write_bytes(OLD)
        assert kill(target, "file", 0)
        assert target.read_bytes() == NEW
    assert target.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_two_threads_at_once_leave_the_content_of_one(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    make = files.replacing if kind == "file" else files.replacing_in
    with make(target) as first:
        if kind == "file":
            first.write_bytes(OLD)
        else:
            for name in NAMES:
                (first / name).write_bytes(OLD)
        with ThreadPoolExecutor(1) as other:
            other.submit(put, target, kind, NEW).result()
        assert content(target, kind) == {NEW}
    assert content(target, kind) == {OLD}
    assert not [*tmp_path.rglob("*.new*"), *tmp_path.rglob(f"{files.PENDING}*")]


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


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_error_names_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    target = Path("target")
    make = files.replacing if kind == "file" else files.replacing_in
    with pytest.raises(IsADirectoryError) as error, make(target) as new:
        written = new if kind == "file" else new / "a"
        written.mkdir()
        written.write_bytes(NEW)
    assert error.value.filename == ("target" if kind == "file" else "target/a")
    long = "x" * 250  # bytes, and at most 255 are allowed
    with pytest.raises(OSError, match="File name too long") as error, files.replacing(Path(long)):
        pass
    assert error.value.filename == long
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_gets_the_first_number_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "results" / "ablation"
    assert files.new_folder(path) == path
    path.with_name("ablation-2").write_text("a file")
    assert files.new_folder(path) == path.with_name("ablation-3")
    assert path.with_name("ablation-3").is_dir()


def test_a_file_does_not_replace_a_folder_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        put(tmp_path, "folder", NEW)
    assert error.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
