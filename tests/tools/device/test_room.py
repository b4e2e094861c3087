"""What has room on a board's file system, and what is said about what has not."""

from contextlib import suppress
from pathlib import Path

import pytest
from littlefs import LittleFS
from microgpt_board.device import deploy
from microgpt_board.device.found import Found
from microgpt_board.device.remote import Changes
from microgpt_board.device.room import remarks_on
from microgpt_board.errors import ToolError
from microgpt_board.image import compile as build
from microgpt_board.image import names_bin
from microgpt_board.image.image import LITTLEFS
from microgpt_board.image.names_bin import Source
from ugpt.layout import Sizes


def found(**facts: object) -> Found:
    """Return what deploy would find on a board with 10 free blocks of 4096 bytes and no files."""
    usual = {"mpy": 0, "machine": "", "heap": 0, "files": {}, "space": 10 * 4096, "names": None}
    return Found(**{**usual, **facts})


def test_no_room(tmp_path: Path):
    (tmp_path / "names.bin").write_bytes(b"x" * 7 * 4096)
    with pytest.raises(
        ToolError,
        match="^the board's file system has 40,960 bytes free, and 4,096 more are needed; "
        r"a shorter list \(NAMES=\) fits, whose names.bin has 28,608 bytes, not 28,672$",
    ):
        deploy.changes_for(tmp_path, found())
    (tmp_path / "names.bin").write_bytes(b"x" * 28_608)
    assert deploy.changes_for(tmp_path, found()) == Changes(["names.bin"], [])


def test_no_room_even_without_a_list(tmp_path: Path):
    (tmp_path / "names.bin").write_bytes(b"x" * 48)
    (tmp_path / "main.py").write_bytes(b"x" * 40_000)
    with pytest.raises(
        ToolError, match="40,960 bytes free, and 16,384 more are needed; the program alone do"
    ):
        deploy.changes_for(tmp_path, found())
    copies = {"lib/ugpt/app.mpy": 7000, "lib/names.bin": 3000}
    with pytest.raises(
        ToolError, match="not fit; mip's copy of it takes 10,000 bytes .mpremote rm"
    ):
        deploy.changes_for(tmp_path, found(sizes=copies))


def test_a_list_that_has_no_room_beside_its_old_version(tmp_path: Path):
    (tmp_path / "names.bin").write_bytes(b"x" * 11 * 4088)
    there = {"files": {"names.bin": "another"}, "sizes": {"names.bin": 1}}
    changes = deploy.changes_for(tmp_path, found(**there))
    assert changes == Changes(["names.bin"], ["names.bin"])
    (tmp_path / "names.bin").write_bytes(b"x" * 10 * 4088)
    assert deploy.changes_for(tmp_path, found(**there)) == Changes(["names.bin"], [])


def test_a_file_that_is_replaced_frees_its_blocks(tmp_path: Path):
    names = [f"{i}.txt" for i in range(5)]
    for name in names:
        (tmp_path / name).write_bytes(b"x" * 4 * 4088)
    there = {"files": dict.fromkeys(names, "another"), "sizes": dict.fromkeys(names, 4 * 4088)}
    assert deploy.changes_for(tmp_path, found(**there)).copy == names  # 10 free blocks, 20 written
    there["sizes"] = dict.fromkeys(names, 3 * 4088)  # one more for each, four at the last one
    assert deploy.changes_for(tmp_path, found(**there, space=8 * 4096)).copy == names
    with pytest.raises(ToolError, match=" 28,672 bytes free, and 4,096 more are needed; "):
        deploy.changes_for(tmp_path, found(**there, space=7 * 4096))


@pytest.mark.parametrize("block_size", [512, 4096])
def test_what_has_room_fits_a_littlefs(tmp_path: Path, names: Path, block_size: int):
    """The files as deploy copies them, into a file system that has just the room."""
    build.build_files(tmp_path, "armv7emsp")
    names_bin.write(Source(names), tmp_path / "names.bin")
    empty = LittleFS(block_count=100, **LITTLEFS | {"block_size": block_size}).used_block_count
    blocks = empty
    changes = None
    while not changes:
        blocks += 1
        with suppress(ToolError):
            there = found(space=(blocks - empty) * block_size, block=block_size)
            changes = deploy.changes_for(tmp_path, there)
    flash = LittleFS(block_count=blocks, **LITTLEFS | {"block_size": block_size})
    flash.mkdir("ugpt")
    for name in changes.copy:
        with flash.open(name, "wb") as file:
            file.write((tmp_path / name).read_bytes())
    assert flash.used_block_count > 0.85 * blocks


def test_too_little_is_left_for_checkpoints(tmp_path: Path):
    (tmp_path / "names.bin").write_bytes(b"x" * 4088)
    changes = Changes(["names.bin"], [])
    saved = 13 * 4096  # of the default model: 50,372 bytes
    enough = found(space=4096 + 3 * saved)
    assert remarks_on(tmp_path, enough, changes, Sizes()) == []
    (said,) = remarks_on(tmp_path, found(space=3 * saved), changes, Sizes())
    assert said.startswith("155,648 bytes are left for checkpoints, which take 159,744: the board ")
    assert said.endswith("; a shorter list (NAMES=) or a smaller model leaves room")
    (said,) = remarks_on(tmp_path, found(space=3 * saved, names="00"), changes, Sizes())
    assert said.endswith(" its run; a smaller model leaves room")  # the list has a partition
    saved_before = {"checkpoint.bin": 50_372, "checkpoint-old.bin": 50_372, "names.bin": 4000}
    enough = found(space=saved, sizes=saved_before)
    assert remarks_on(tmp_path, enough, changes, Sizes()) == []
