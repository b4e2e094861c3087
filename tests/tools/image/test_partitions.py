"""The flash map and its binary form."""

import hashlib
from pathlib import Path

import pytest
from microgpt_board.errors import ToolError
from microgpt_board.image import partitions

# The rows that MicroPython's release has too, byte by byte as they are there.
NVS = "aa50010200900000006000006e76730000000000000000000000000000000000"
PHY = "aa50010100f00000001000007068795f696e6974000000000000000000000000"


def test_the_map_is_the_design():
    rows = [
        (row.name, row.type, row.subtype, row.offset, row.size)
        for row in partitions.read().values()
    ]
    assert rows == [
        ("nvs", "data", "nvs", 0x9000, 0x6000),
        ("phy_init", "data", "phy", 0xF000, 0x1000),
        ("factory", "app", "factory", 0x10000, 0x1F0000),
        ("names", "data", "undefined", 0x200000, 0xC0000),
        ("vfs", "data", "fat", 0x2C0000, 0x140000),
    ]
    assert max(row.end for row in partitions.read().values()) == partitions.FLASH_SIZE


def test_the_table_byte_by_byte():
    table = partitions.table(partitions.read())
    expected = [
        NVS,
        PHY,
        "aa500000" + "00000100" + "00001f00" + "666163746f7279".ljust(32, "0") + "00000000",
        "aa500106" + "00002000" + "00000c00" + "6e616d6573".ljust(32, "0") + "00000000",
        "aa500181" + "00002c00" + "00001400" + "766673".ljust(32, "0") + "00000000",
    ]
    rows = bytes.fromhex("".join(expected))
    assert table[: len(rows)] == rows
    assert table[len(rows) :][:32] == b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(rows).digest()
    assert table[len(rows) + 32 :] == b"\xff" * (0xC00 - len(rows) - 32)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("a, data, nvs, 0x9000, 0x2000\nb, data, fat, 0xa000, 0x1000", "b at 0xa000 overlaps a"),
        ("a, data, nvs, 0x8000, 0x1000", "a at 0x8000 overlaps the partition table"),
        ("a, data, fat, 0x3ff000, 0x2000", "a ends at 0x401000, the flash at 0x400000"),
        ("a, data, fat, 0x9800, 0x1000", "a must start at a multiple of 0x1000"),
        ("a, app, factory, 0x11000, 0x1000", "a must start at a multiple of 0x10000"),
        ("a, data, fat, 0x9000, 0", "fill whole sectors"),
        ("a, data, fat, 0x9000", "a row is name, type, subtype, offset, size"),
        ("a, data, ftl, 0x9000, 0x1000", "data, ftl is no known type and subtype"),
        ("a, data, fat, here, 0x1000", "line 1: invalid literal"),
        ("a-name-too-long-", "a row is"),
        ("a-name-too-long-, data, fat, 0x9000, 0x1000", "must have 1 to 15 letters"),
        ("a, data, fat, 0x9000, 0x1000\na, data, fat, 0xa000, 0x1000", "the same name"),
    ],
)
def test_a_broken_map_is_refused(tmp_path: Path, rows: str, complaint: str):
    path = tmp_path / "partitions.csv"
    path.write_text(rows)
    with pytest.raises(ToolError, match="partitions.csv") as caught:
        partitions.read(path)
    assert complaint in str(caught.value)
