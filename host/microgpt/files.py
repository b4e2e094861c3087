"""Find the files of a package; make a folder; replace a file or a folder atomically and durably.

To replace something, the new content is written beside the old content, flushed to the disk and
renamed over it. After a crash or a loss of power the old content or the new content is there,
never a part of either.
"""

import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path


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
def naming(path: str | Path) -> Iterator[None]:
    """Let an OSError in the block name the file `path`, if it names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def explained(error: OSError) -> str:
    """Return what an error of the system says, after the name of its file."""
    what = f"{error.filename}: " if error.filename else ""
    return f"{what}{error.strerror or error}"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path for new content, a file or a folder, which replaces `target` after the block.

    If the block raises, `target` is unchanged and the new content is removed. A folder needs two
    renames: after a crash between them the old folder is at `backup_of(target)`. Raises OSError,
    which names a file.
    """
    with naming(target):
        yield from _replacing(target.absolute())


def _replacing(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.{os.getpid()}.new")
    _remove(new)
    try:
        yield new
        _sync(new)
        if new.is_file() and target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        if new.is_dir() and target.exists():
            _remove(backup_of(target))
            target.rename(backup_of(target))
        new.replace(target)
        _sync_folder(target.parent)
    except BaseException:
        _remove(new)
        if backup_of(target).exists() and not target.exists():
            backup_of(target).rename(target)
        raise
    if target.is_dir():
        _remove(backup_of(target))


def write(target: Path, content: str | bytes) -> None:
    """Replace the content of the file `target`; text is written as UTF-8. Raises OSError."""
    with replacing(target) as new:
        new.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def backup_of(folder: Path) -> Path:
    """Return the path of a folder's old content while the folder is replaced."""
    return folder.with_name(folder.name + ".old")


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
