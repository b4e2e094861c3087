"""Make names.bin, the documents as the board reads them, from a text file with one a line."""

import struct
import unicodedata
from binascii import crc32
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click
from microgpt.cli.options import PATH
from microgpt.data import NAMES
from microgpt.system import files
from ugpt.dataset import HEADER, MAGIC, MAX_LETTERS, RECORD_SIZE, VERSION

from microgpt_board.errors import ToolError

EMPTY = "empty"
NO_LETTER = "no letter"
TOO_LONG = f"over {MAX_LETTERS} letters"


class InMemory:
    """The bytes of names.bin as a source for `ugpt.dataset.Dataset`; `name` is for its errors."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self._data = data

    def readinto(self, offset: int, buffer: bytearray) -> int:
        """Fill `buffer` from `offset` on; return the number of bytes read."""
        part = self._data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def letters_of(line: str) -> str:
    """Return the letters a..z of a line: lower case, accents off, everything else left out."""
    return "".join(c for c in unicodedata.normalize("NFKD", line.lower()) if "a" <= c <= "z")


def pack(lines: Iterable[str]) -> tuple[bytes, Counter[str], int]:
    """Return names.bin for `lines`, how many were dropped for which reason, and how many cut.

    A document is cut if it had letters that are not a to z even without their accents. The format
    is that of `ugpt.dataset`: a header of 32 bytes, then 16 bytes for each document.
    """
    records = bytearray()
    dropped: Counter[str] = Counter()
    cut = 0
    for line in lines:
        letters = letters_of(line)
        if not line.strip():
            dropped[EMPTY] += 1
        elif not letters:
            dropped[NO_LETTER] += 1
        elif len(letters) > MAX_LETTERS:
            dropped[TOO_LONG] += 1
        else:
            cut += sum(map(str.isalpha, unicodedata.normalize("NFC", line))) > len(letters)
            records += struct.pack(f"B{MAX_LETTERS}s", len(letters), letters.encode())
    count = len(records) // RECORD_SIZE
    header = struct.pack(HEADER, MAGIC, VERSION, count, RECORD_SIZE, crc32(records))
    return header + records, dropped, cut


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text file; raise ToolError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ToolError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ToolError(f"{path} is not UTF-8 text: convert it, or name another file") from None


def write(source: Path, target: Path) -> str:
    """Write `target` from the documents in `source`; return a line about what was kept.

    Raises ToolError if there is no document to keep; `target` is then unchanged.
    """
    lines = read_lines(source)
    if target.exists() and target.samefile(source):
        raise ToolError(f"{target} is the text file itself: name another file to write")
    data, dropped, cut = pack(lines)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(dropped.items()))
    count = len(lines) - dropped.total()
    if not count:
        raise ToolError(f"{source} has no document to keep ({reasons or 'it is empty'})")
    files.write(target, data)
    said = f"{target}: {count} documents, {len(data)} bytes"
    said += f"; dropped {dropped.total()} ({reasons})" if dropped else "; none dropped"
    return said + (f"; {cut} lost letters that are not a to z" if cut else "")


names_option = click.option(
    "--names",
    type=PATH,
    default=NAMES,
    show_default="32,469 names",
    help="Documents, one a line.",
)


@click.command("names")
@click.argument("source", type=PATH)
@click.argument("target", type=PATH)
def names_command(source: Path, target: Path) -> None:
    """Write names.bin from a text file, one document a line.

    Example: microgpt-board names data/names.txt build/names.bin
    """
    click.echo(write(source, target))
