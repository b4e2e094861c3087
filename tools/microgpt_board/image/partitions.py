"""The flash map: read from firmware/partitions.csv, checked, and put in ESP-IDF's binary form.

https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-guides/partition-tables.html
"""

import csv
import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from microgpt_board import resources
from microgpt_board.errors import ToolError

CSV = resources.firmware("partitions.csv")
TABLE_OFFSET = 0x8000
TABLE_SIZE = 0xC00
FIRST_OFFSET = 0x9000  # the table's sector ends here
FLASH_SIZE = 0x400000
SECTOR = 0x1000
APP_ALIGNMENT = 0x10000

ROW = "<2sBBII16sI"  # magic, type, subtype, offset, size, name, flags
ROW_MAGIC = b"\xaa\x50"
MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
MAX_NAME = 15

TYPES = {"app": 0x00, "data": 0x01}
SUBTYPES = {
    "app": {"factory": 0x00},
    "data": {"phy": 0x01, "nvs": 0x02, "undefined": 0x06, "fat": 0x81},
}


@dataclass(frozen=True)
class Partition:
    """A row of the map; offset and size in bytes."""

    name: str
    type: str
    subtype: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the first byte after it."""
        return self.offset + self.size


def read(path: Path = CSV) -> dict[str, Partition]:
    """Return the partitions of a CSV file by name, in the order of their offsets.

    Raises ToolError for a row that cannot be read, overlaps another or exceeds the flash.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                rows.append(_row(next(csv.reader([line], skipinitialspace=True))))
            except ValueError as error:
                raise ToolError(f"{path} line {number}: {error}") from None
    rows.sort(key=lambda row: row.offset)
    end, before = FIRST_OFFSET, "the partition table"
    for row in rows:
        if row.offset < end:
            raise ToolError(f"{path}: {row.name} at {row.offset:#x} overlaps {before}")
        end, before = row.end, row.name
    if end > FLASH_SIZE:
        raise ToolError(f"{path}: {before} ends at {end:#x}, the flash at {FLASH_SIZE:#x}")
    if len({row.name for row in rows}) < len(rows):
        raise ToolError(f"{path}: two partitions have the same name")
    return {row.name: row for row in rows}


def _row(fields: list[str]) -> Partition:
    """Return the partition in the fields of a line; raise ValueError if they are not one."""
    if len(fields) != 5:
        raise ValueError("a row is name, type, subtype, offset, size")
    name, kind, subtype, offset, size = (field.strip() for field in fields)
    if not 0 < len(name.encode()) <= MAX_NAME:
        raise ValueError(f"the name {name!r} must have 1 to {MAX_NAME} letters")
    if kind not in TYPES or subtype not in SUBTYPES[kind]:
        raise ValueError(f"{kind}, {subtype} is no known type and subtype")
    row = Partition(name, kind, subtype, int(offset, 0), int(size, 0))
    alignment = APP_ALIGNMENT if kind == "app" else SECTOR
    if row.offset % alignment or row.size % SECTOR or row.size <= 0:
        raise ValueError(
            f"{name} must start at a multiple of {alignment:#x} and fill whole sectors"
        )
    return row


def table(partitions: dict[str, Partition]) -> bytes:
    """Return the binary table: the rows, a row with their MD5, 0xFF up to TABLE_SIZE."""
    rows = b"".join(
        struct.pack(
            ROW,
            ROW_MAGIC,
            TYPES[row.type],
            SUBTYPES[row.type][row.subtype],
            row.offset,
            row.size,
            row.name.encode(),
            0,
        )
        for row in partitions.values()
    )
    rows += MD5_MAGIC + hashlib.md5(rows).digest()
    return rows.ljust(TABLE_SIZE, b"\xff")
