"""Write a file or a folder as a whole: atomic for every reader, and durable once it is done.

The new content is written beside the old one, brought to the disk and renamed over it. After a
crash or a loss of power either the old content is there or the new one, never a part of it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` for the new file or folder; at the end it replaces `target`.

    If the block raises, `target` stays as it was and the new content is removed. A folder is
    replaced by two renames: a crash between them leaves the old one at `backup_of(target)`.
    Raises OSError.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.{os.getpid()}.new")
    _remove(new)
    try:
        yield new
        _sync(new)
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
    """Make `content` (text as UTF-8) the whole content of the file `target`; raise OSError."""
    with replacing(target) as new:
        new.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def backup_of(folder: Path) -> Path:
    """Return where the old content of `folder` is while it is being replaced."""
    return folder.with_name(folder.name + ".old")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Bring a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for part in path.iterdir():
            _sync(part)
        _sync_folder(path)
    else:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can: Windows cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
