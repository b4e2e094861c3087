"""Find the files of a package; make a folder; replace files atomically and durably.

To replace a file, the new content is written beside the old content, flushed to the disk and
renamed over it. Several files of a folder can be replaced, and others removed, together. After a
crash or a loss of power the old content or the new content is there, never a part of either.
"""

import errno
import itertools
import os
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # on Windows, which has no locks of folders
    fcntl = None  # type: ignore[assignment]

PENDING = ".microgpt-new"  # in a folder: new files, which replace those of the same names


def packaged(package: str, name: str = "") -> Path:
    """Return the path of a file or a folder in the data of an installed package."""
    with as_file(files(package) / name) as path:
        return path


def new_folder(path: Path) -> Path:
    """Create and return `path`, or the first of `path-2`, `path-3`, ... that does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with suppress(FileExistsError):  # another process can create it at any time
            folder.mkdir()
            break
    return folder


@contextmanager
def naming(path: str | Path, temporary: Path | None = None) -> Iterator[None]:
    """Let an OSError in the block name the file `path`, if it names none.

    What it names in `temporary`, or as that, is named by its place in `path`.
    """
    try:
        yield
    except OSError as error:
        named = Path(str(error.filename))
        if error.filename is None:
            error.filename = str(path)
        elif temporary and named.is_relative_to(temporary):
            error.filename = str(path / named.relative_to(temporary))
        raise


def explained(error: OSError) -> str:
    """Return what an error of the system says, after the name of its file."""
    what = f"{error.filename}: " if error.filename else ""
    return f"{what}{error.strerror or error}"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path for a new file, which replaces the file `target` after the block.

    If the block raises, `target` is unchanged and the new file is removed. Raises OSError, which
    names a file.
    """
    absolute = target.absolute()
    new = absolute.with_name(f"{target.name}.{_writer()}.new")
    with naming(target, new):
        yield from _replacing(absolute, new)


def _replacing(target: Path, new: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove(new)
    try:
        yield new
        _sync(new)
        _refuse_folder(target)
        new.replace(target)
        _sync_folder(target.parent)
    except BaseException:
        _remove(new)
        raise


@contextmanager
def replacing_in(folder: Path, without: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a folder for new files; after the block they replace those in `folder`, together.

    The files named in `without` are removed with it. Other files in `folder` stay; it is created if
    there is none. `open_together` returns the old files or the new ones, whenever it is called,
    also after a kill in here: one rename of the folder of new files to PENDING makes them the files
    that count, and then each is moved to its place. In PENDING, a folder has the name of each file
    that is removed. A kill in between leaves PENDING, and the next call moves what is there. If the
    block raises, `folder` is unchanged. Raises OSError, which names a file.
    """
    absolute = folder.absolute()
    new = absolute / f"{PENDING}.{_writer()}"
    with naming(folder, new):
        yield from _replacing_in(absolute, new, without)


def _replacing_in(folder: Path, new: Path, without: Sequence[str]) -> Iterator[Path]:
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _remove(new)
        new.mkdir()
        yield new
        for name in without:
            (new / name).mkdir()
        for file in new.iterdir():
            _refuse_folder(folder / file.name)
        _sync(new)
        with _only_writer(folder):
            _move_pending(folder)
            new.rename(folder / PENDING)
            _sync_folder(folder)
            _move_pending(folder)
    except BaseException:
        _remove(new)
        if is_new:
            with suppress(OSError):  # it holds something by now
                folder.rmdir()
        raise


def _move_pending(folder: Path) -> None:
    """Move each file in PENDING to its place in `folder`, where those are removed that go.

    These go first, and what says so last: so at no time do they count beside the new files.
    """
    pending = folder / PENDING
    if not pending.is_dir():
        return
    removed = [path for path in pending.iterdir() if path.is_dir()]
    for path in removed:
        (folder / path.name).unlink(missing_ok=True)
    for path in pending.iterdir():
        if path not in removed:
            path.replace(folder / path.name)
    _sync_folder(folder)
    for path in removed:
        path.rmdir()
    pending.rmdir()


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to `folder`, where the system has locks of folders."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems of a network have none
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # which unlocks


def newest(folder: Path, name: str) -> Path | None:
    """Return the path of a file that `replacing_in` wrote: in `folder`, or in its PENDING.

    It is None if there is no such file.
    """
    pending = folder / PENDING / name
    if pending.is_dir():  # it says that the file is removed
        return None
    return next((path for path in (pending, folder / name) if path.exists()), None)


def open_together(folder: Path, names: Sequence[str]) -> list[BinaryIO | None]:
    """Open files that `replacing_in` wrote: all as they were at one moment; writes nothing.

    The name of each is its path. It is None if there is no such file. Raises OSError.
    """
    while True:
        with ExitStack() as stack, ExitStack() as after:
            opened = [_open_newest(folder, name, stack) for name in names]
            again = [_open_newest(folder, name, after) for name in names]
            # A file that has been replaced does not come back. So if none has been until now, there
            # was a moment at which all of these were the newest.
            if all(map(_is_same, opened, again)):
                stack.pop_all()
                return opened


def _open_newest(folder: Path, name: str, stack: ExitStack) -> BinaryIO | None:
    pending = folder / PENDING / name
    if pending.is_dir():  # it says that the file is removed
        return None
    try:
        return stack.enter_context(open_regular(pending))
    except IsADirectoryError:  # by now
        return None
    except (FileNotFoundError, NotADirectoryError):
        pass
    with suppress(FileNotFoundError):
        return stack.enter_context(open_regular(folder / name))
    return None


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it; raise OSError, also for a pipe or a device, which could block."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder is refused by `open`
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return open(path, "rb")


def _is_same(one: BinaryIO | None, other: BinaryIO | None) -> bool:
    if one is None or other is None:
        return one is other
    return os.path.sameopenfile(one.fileno(), other.fileno())


def write(target: Path, content: str | bytes) -> None:
    """Replace the content of the file `target`; text is written as UTF-8. Raises OSError."""
    with replacing(target) as new:
        new.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def _writer() -> str:
    """Return what tells this thread from all that can write the same file at the same time."""
    if threading.current_thread() is threading.main_thread():
        return f"{os.getpid()}"
    return f"{os.getpid()}-{threading.get_native_id()}"


def _refuse_folder(target: Path) -> None:
    """Raise IsADirectoryError if `target` is a folder: a file cannot replace it."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flush a file, or a folder and everything in it, to the disk."""
    if path.is_dir():
        for part in path.iterdir():
            _sync(part)
        _sync_folder(path)
    else:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, except on Windows, which cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
