"""The room in a board's flash: whether the program and its list fit, and what is left for a run."""

from collections.abc import Sequence
from pathlib import Path

from ugpt.board import NAMES
from ugpt.checkpoint import NEWEST, OLDER
from ugpt.dataset import ALIGNMENT, HEADER_SIZE
from ugpt.layout import Sizes

from microgpt_board.device.found import COPY, Found
from microgpt_board.device.remote import Changes
from microgpt_board.errors import ToolError
from microgpt_board.image.sizes import too_few_for_checkpoints

# A folder of LittleFS is pairs of blocks, which it keeps half empty; a file's entry has 40 bytes.
FOLDER = 2  # blocks of a new one
ENTRY = 160  # bytes for each new file


def make_room(folder: Path, found: Found, copy: Sequence[str], remove: Sequence[str]) -> list[str]:
    """Return which files to remove so that those to copy have room; raise ToolError if they cannot.

    A file keeps its blocks until it is replaced. If the list of names has no room beside its old
    version, that is removed first.
    """
    remove = list(remove)
    room = found.space // found.block + sum(map(found.blocks_of, remove))
    new = sum(name not in found.files for name in copy)
    room -= -(-new * ENTRY // found.block) + (FOLDER if new else 0)
    missing = 0
    for name in copy:
        need = found.blocks((folder / name).stat().st_size)
        old = found.blocks_of(name)
        if name == NAMES and need > room and old:
            remove.append(name)
            room, old = room + old, 0
        missing = max(missing, need - room)
        room += old - need
    if missing > 0:
        raise ToolError(no_room(folder, found, copy, missing))
    return remove


def no_room(folder: Path, found: Found, copy: Sequence[str], missing: int) -> str:
    """Return that a board's file system lacks so many blocks, and what to do."""
    said = [
        f"the board's file system has {found.space:,} bytes free, and "
        f"{missing * found.block:,} more are needed"
    ]
    size = (folder / NAMES).stat().st_size if NAMES in copy else 0
    fits = found.bytes_in(found.blocks(size) - missing) // ALIGNMENT * ALIGNMENT
    if fits > HEADER_SIZE:
        said.append(f"a shorter list (NAMES=) fits, whose {NAMES} has {fits:,} bytes, not {size:,}")
    else:
        said.append("the program alone does not fit")
    said += [f"{line}, and the board does not need it" for line in copies_of(found)]
    return "; ".join(said)


def copies_of(found: Found) -> list[str]:
    """Return a line about the copy of the program in the board's lib, if mip has put one there."""
    sizes = {name: size for name, size in found.sizes.items() if name.startswith(COPY)}
    if not sizes:
        return []
    names = sorted({name.removeprefix(COPY).partition("/")[0] for name in sizes})
    paths = " ".join(f":{COPY}{name}" for name in names)
    taken = sum(sizes.values())
    return [f"mip's copy of it takes {taken:,} bytes (mpremote rm -r {paths} removes it)"]


def remarks_on(folder: Path, found: Found, changes: Changes, model: Sizes) -> list[str]:
    """Return what a person should know of a board's flash once these changes are made."""
    left = found.space // found.block + sum(map(found.blocks_of, changes.remove))
    left += sum(map(found.blocks_of, (NEWEST, OLDER)))
    for name in changes.copy:
        left -= found.blocks((folder / name).stat().st_size)
        left += found.blocks_of(name) if name not in changes.remove else 0
    too_few = too_few_for_checkpoints(model, left, found.block, list_is_file=not found.names)
    remarks = [too_few] if too_few else []
    remarks += [f"the board runs this program from now on; {line}" for line in copies_of(found)]
    return remarks
