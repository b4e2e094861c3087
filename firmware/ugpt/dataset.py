"""The documents in flash: a header of 32 bytes, the character set, then records of equal size.

A record is a length byte and that many tokens, padded with zeros. The list is never in memory: a
draw reads one record.
"""

import struct
from binascii import crc32

from . import board
from .tokenizer import BOS, Tokenizer

MAGIC = b"UGPTNAME"
VERSION = 2
# Magic, version, count, record size, CRC32 of what follows the header, bytes of the character set,
# vocabulary size.
HEADER = "<8sIIIIII"
HEADER_SIZE = 32
ALIGNMENT = 16  # of record sizes, and of the character set with its padding
MAX_RECORD_SIZE = 256
MAX_CHARACTERS = 254  # with BOS 255 tokens: each is a byte
_CHECKED_AT_ONCE = 4096  # bytes


class DatasetError(Exception):
    """The documents are missing or damaged; the message says which, and what to do."""


def aligned(size):
    """Return `size` rounded up to a multiple of ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class Dataset:
    """The documents in `source`, which has `name` and `readinto(offset, buffer)`.

    `readinto` reads from the byte `offset` on and returns the number of bytes read. Raises
    DatasetError if the header or the character set is damaged, or the format is of another version.
    `count` is the number of documents, `tokenizer` has their characters, and a document has at most
    record_size - 1 of them.
    """

    def __init__(self, source):
        self.source = source
        header = bytearray(HEADER_SIZE)
        self._read(0, header)
        values = struct.unpack(HEADER, header)
        magic, version, self.count, self.record_size, self.crc, size, vocab_size = values
        if magic != MAGIC:
            raise DatasetError("%s holds no names: write it again" % source.name)
        if version != VERSION:
            raise DatasetError(
                "%s has format version %d, this program reads version %d: make flash, make deploy"
                " or mip writes it again" % (source.name, version, VERSION)
            )
        if self.count < 1:
            raise DatasetError("%s is empty: it needs at least one name" % source.name)
        if (
            not ALIGNMENT <= self.record_size <= MAX_RECORD_SIZE
            or self.record_size % ALIGNMENT
            or not 2 <= vocab_size <= MAX_CHARACTERS + 1
            or not vocab_size <= size + 1 <= 4 * MAX_CHARACTERS + 1  # in UTF-8
        ):
            raise DatasetError("%s is damaged (header): write it again" % source.name)
        self.tokenizer = Tokenizer(self._charset(size, vocab_size - 1))
        self._first = HEADER_SIZE + aligned(size)
        self._record = bytearray(self.record_size)

    def _charset(self, size, length):
        """Return the character set: `size` bytes, `length` characters in ascending order."""
        data = bytearray(size)
        self._read(HEADER_SIZE, data)
        try:
            charset = str(data, "utf-8")
            before = ""
            for character in charset:
                if character <= before:
                    raise ValueError
                before = character
            if len(charset) != length:
                raise ValueError
        except ValueError:  # not UTF-8 is one too
            raise DatasetError("%s is damaged (characters): write it again" % self.source.name)
        return charset

    def _read(self, offset, buffer):
        try:
            count = self.source.readinto(offset, buffer)
        except OSError:  # raised by a partition for an offset beyond its end
            count = 0
        if count != len(buffer):
            raise DatasetError("%s is cut short: write it again" % self.source.name)

    def check(self):
        """Raise DatasetError unless what follows the header has the CRC32 that it says."""
        chunk = bytearray(_CHECKED_AT_ONCE)
        end = self._first + self.count * self.record_size
        crc = 0
        for offset in range(HEADER_SIZE, end, len(chunk)):
            part = memoryview(chunk)[: min(len(chunk), end - offset)]
            self._read(offset, part)
            crc = crc32(part, crc)
        if crc != self.crc:
            raise DatasetError("%s is damaged (CRC32 differs): write it again" % self.source.name)

    def read_into(self, index, tokens):
        """Write the tokens of document `index` into `tokens`, BOS at both ends; return how many.

        What does not fit into `tokens` is cut off. Raises DatasetError if the record is damaged.
        """
        record = self._record
        self._read(self._first + index * self.record_size, record)
        length = record[0]
        good = length < self.record_size
        tokens[0] = BOS
        written = min(length + 1, len(tokens)) if good else 1
        for t in range(1, written):
            token = record[t]  # the length byte is where BOS goes
            good = good and BOS < token < self.tokenizer.vocab_size
            tokens[t] = token
        if not good:
            raise DatasetError("%s is damaged (record %d)" % (self.source.name, index))
        if written < len(tokens):
            tokens[written] = BOS
            written += 1
        return written


def open_dataset():
    """Return the board's documents; raise DatasetError if they are missing or damaged."""
    try:
        source = board.open_names()
    except OSError:
        raise DatasetError(
            "no names: neither a partition %s nor names.bin; make flash, make deploy or mip writes"
            " them" % board.PARTITION
        )
    dataset = Dataset(source)
    dataset.check()
    return dataset
