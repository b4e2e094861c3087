"""Make names.bin, the documents as the board reads them, from a text file with one a line."""

import functools
import re
import struct
import unicodedata
from binascii import crc32
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from microgpt.cli.options import PATH, Command
from microgpt.data import NAMES
from microgpt.system import files
from ugpt.dataset import ALIGNMENT, HEADER, MAGIC, MAX_CHARACTERS, MAX_RECORD_SIZE, VERSION, aligned
from ugpt.layout import Sizes
from ugpt.tokenizer import LETTERS

from microgpt_board.errors import ToolError

EMPTY = "empty"
NO_LETTER = "no letter"
CONTROL = "control characters"
RARE = "rare characters"
LONGEST = MAX_RECORD_SIZE - 1  # characters of a document
MAX_TEXT = 16 << 20  # bytes of a text file
MAX_BYTES = 64 << 20  # of names.bin
NAMED = 5  # characters that a message names
PIECE = 4 * (LONGEST + 1)  # characters normalised at once; NFC makes one of at most four

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and surrogates, which are no text


@dataclass(frozen=True)
class Source:
    """A text file with one document a line, and how it becomes names.bin.

    `block_size` is the model's, which bounds a document's characters to one less; None: that of the
    default model. Longer documents are dropped, or with `cut` cut. `fold`: lower case, without
    accents, and only a to z. `max_characters`: drop documents with others than so many of the most
    frequent characters; None: refuse a file with more characters than the format can have.
    """

    path: Path
    block_size: int | None = None
    fold: bool = False
    cut: bool = False
    max_characters: int | None = None

    @property
    def longest(self) -> int:
        """The most characters of a document."""
        return (self.block_size or Sizes().block_size) - 1

    @property
    def record_size(self) -> int:
        """The bytes of a record: a length byte and the characters, rounded up."""
        size: int = aligned(self.longest + 1)
        return size


@dataclass(frozen=True)
class Packed:
    """The bytes of names.bin, and what became of the lines of the text `source`.

    `dropped` counts the dropped by reason, `cut` the documents that were cut to fit, `lost` those
    that lost letters which fold to none of a to z. `needed` is the block size for the longest of
    the dropped, 0 if none was too long.
    """

    source: Source
    data: bytes
    documents: int
    charset: str
    dropped: Counter[str]
    cut: int
    lost: int
    needed: int

    def write(self, target: Path) -> str:
        """Write `target`; return a line about what was kept. Raises ToolError if it is the text."""
        if target.exists() and target.samefile(self.source.path):
            raise ToolError(f"{target} is the text file itself: name another file to write")
        files.write(target, self.data)
        said = (
            f"{target}: {self.documents:,} documents, {len(self.charset)} characters, "
            f"{len(self.data):,} bytes"
        )
        dropped = self.dropped.total()
        said += f"; dropped {dropped:,} ({self.reasons()})" if dropped else "; none dropped"
        said += self.advice()
        said += f"; {self.cut:,} cut to {self.source.longest} characters" if self.cut else ""
        return said + (f"; {self.lost:,} lost letters that are not a to z" if self.lost else "")

    def reasons(self) -> str:
        """Return how many documents were dropped for which reason."""
        return ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.dropped.items()))

    def advice(self) -> str:
        """Return how to keep the documents that were too long, "" if none was."""
        if self.needed > MAX_RECORD_SIZE:
            return f"; the longest has {self.needed - 1:,} characters: CUT=1 cuts it"
        if self.needed:
            return f"; BLOCK_SIZE={self.needed} keeps the longest, CUT=1 cuts it"
        return ""


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


def _normal(form: Literal["NFC", "NFKD"], line: str) -> str:
    """Return a line in a normal form; one longer than PIECE, which no document is, piece by piece.

    The time for combining marks in a row grows with the square of their number.
    """
    starts = range(0, len(line), PIECE)
    return "".join(unicodedata.normalize(form, line[i : i + PIECE]) for i in starts)


def letters_of(line: str) -> str:
    """Return the letters a..z of a line: lower case, accents off, everything else left out."""
    return "".join(c for c in _normal("NFKD", line.lower()) if "a" <= c <= "z")


def document_of(line: str, fold: bool) -> tuple[str, str]:
    """Return the document in a line, and the reason to drop it, or "" to keep it."""
    text = _normal("NFC", line.strip())
    if not text:
        return text, EMPTY
    if fold:
        letters = letters_of(line)
        return letters, "" if letters else NO_LETTER
    return text, CONTROL if _CONTROL.search(text) else ""


def pack(lines: Iterable[str], source: Source) -> Packed:
    """Return names.bin for `lines`, packed as `source` says; its path only names it in errors.

    The format is that of `ugpt.dataset`: a header, the character set, a record a document. Raises
    ToolError for more characters or more bytes than names.bin can have.
    """
    kept = []
    dropped: Counter[str] = Counter()
    cut = lost = needed = 0
    longest = source.longest
    for line in lines:
        text, reason = document_of(line, source.fold)
        too_long = len(text) > longest
        if not reason and too_long and not source.cut:
            reason = f"over {longest} characters"
            needed = max(needed, len(text) + 1)
        if reason:
            dropped[reason] += 1
            continue
        cut += too_long
        if source.fold:
            lost += sum(map(str.isalpha, _normal("NFC", line))) > len(text)
        kept.append(text[:longest])
    if source.fold:
        charset = LETTERS
    else:
        frequent = _frequent(kept, source)
        if frequent:
            documents = len(kept)
            kept = [text for text in kept if frequent.issuperset(text)]
            dropped[RARE] += documents - len(kept)
        charset = "".join(sorted(set().union(*kept)))
    if len(kept) * source.record_size > MAX_BYTES:
        raise ToolError(
            f"{source.path} has {len(kept):,} documents, and {source.record_size} bytes for each "
            f"are more than {MAX_BYTES:,}: name a shorter list, or a smaller BLOCK_SIZE"
        )
    data = _file(kept, charset, source.record_size)
    return Packed(source, data, len(kept), charset, +dropped, cut, lost, needed)


def _frequent(documents: Sequence[str], source: Source) -> set[str]:
    """Return the characters to keep, or none if all can be kept.

    Raises ToolError if there are too many and the user did not say how many to keep.
    """
    found: Counter[str] = Counter()
    for text in documents:
        found.update(set(text))
    limit = source.max_characters or MAX_CHARACTERS
    if len(found) <= limit:
        return set()
    ordered = sorted(found, key=lambda c: (-found[c], c))  # the most frequent first
    frequent = set(ordered[:limit])
    if source.max_characters is None:
        lost = sum(not frequent.issuperset(text) for text in documents)
        rarest = ", ".join(ascii(c) for c in reversed(ordered[-NAMED:]))
        raise ToolError(
            f"{source.path} has {len(found):,} different characters, names.bin can have {limit}; "
            f"the rarest are {rarest}: MAX_CHARACTERS={limit} (--max-characters {limit}) drops "
            f"{lost:,} of {len(documents):,} documents"
        )
    return frequent


def _file(documents: Sequence[str], charset: str, record_size: int) -> bytes:
    """Return names.bin with these documents, whose characters are all in `charset`."""
    tokens = {ord(character): token for token, character in enumerate(charset, 1)}
    characters = charset.encode()
    body = bytearray(characters.ljust(aligned(len(characters)), b"\0"))
    for text in documents:
        encoded = text.translate(tokens).encode("latin-1")  # a byte a token
        body += (bytes([len(encoded)]) + encoded).ljust(record_size, b"\0")
    facts = (len(documents), record_size, crc32(body), len(characters), len(charset) + 1)
    return struct.pack(HEADER, MAGIC, VERSION, *facts) + body


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text file; raise ToolError if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT + 1)
    except OSError as error:
        raise ToolError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_TEXT:
        raise ToolError(f"{path} has more than {MAX_TEXT:,} bytes: name a shorter list")
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ToolError(f"{path} is not UTF-8 text: convert it, or name another file") from None


def read(source: Source) -> Packed:
    """Return the documents of `source`, packed; raise ToolError if there is none to keep."""
    return pack_some(read_lines(source.path), source)


def pack_some(lines: Iterable[str], source: Source) -> Packed:
    """Return `lines` packed as `pack` does; raise ToolError if there is none to keep."""
    packed = pack(lines, source)
    if not packed.documents:
        reasons = packed.reasons() or "it is empty"
        raise ToolError(f"{source.path} has no document to keep ({reasons}){packed.advice()}")
    return packed


def write(source: Source, target: Path) -> str:
    """Write `target` from the documents in `source`; return a line about what was kept.

    Raises ToolError if there is no document to keep; `target` is then unchanged.
    """
    return read(source).write(target)


_OPTIONS = (
    click.option("--fold", is_flag=True, help="Lower case without accents, only a to z."),
    click.option("--cut", is_flag=True, help="Cut documents that are too long."),
    click.option(
        "--max-characters",
        type=click.IntRange(1, MAX_CHARACTERS),
        help="Drop documents with others than so many characters, the most frequent.",
    ),
    click.option(
        "--block-size",
        type=click.IntRange(ALIGNMENT, MAX_RECORD_SIZE),
        help=f"Positions of the model, one more than characters [default: {Sizes().block_size}].",
    ),
)


def _source_options(command: Command) -> Command:
    """Add how a text becomes names.bin as options; `names`, its path, is handed on as a Source."""

    @functools.wraps(command)
    def collected(*args: object, names: Path, **values: Any) -> object:  # Any: as click gives them
        fields = ("block_size", "fold", "cut", "max_characters")
        source = Source(names, **{field: values.pop(field) for field in fields})
        return command(*args, names=source, **values)

    result: Command = collected
    for option in reversed(_OPTIONS):
        result = option(result)
    return result


def names_options(command: Command) -> Command:
    """Add the options for the board's documents; the command receives a Source as `names`."""
    return click.option(
        "--names",
        type=PATH,
        default=NAMES,
        show_default="32,469 names",
        help="Documents, one a line.",
    )(_source_options(command))


@click.command("names")
@click.argument("names", metavar="SOURCE", type=PATH)
@click.argument("target", type=PATH)
@_source_options
def names_command(names: Source, target: Path) -> None:
    """Write names.bin from a text file, one document a line.

    Example: microgpt-board names data/names.txt build/names.bin
    """
    click.echo(write(names, target))
