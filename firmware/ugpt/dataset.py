"""The documents in flash: a header of 32 bytes, then records of 16 bytes.

A record is a length byte and up to 15 letters in ASCII, padded with zeros. The list is never in
memory: a draw reads one record.
"""

import struct
from binascii import crc32

from . import board
from .tokenizer import encode_into

MAGIC = b"UGPTNAME"
VERSION = 1
HEADER = "<8sIIII8x"  # magic, version, count, record size, CRC32 of all records
HEADER_SIZE = 32
RECORD_SIZE = 16
MAX_LETTERS = RECORD_SIZE - 1


class DatasetError(Exception):
    """The documents are missing or damaged; the message says which, and what to do."""


class Dataset:
    """The documents in `source`, which has `name` and `readinto(offset, buffer)`.

    `readinto` reads from the byte `offset` on and returns the number of bytes read. Raises
    DatasetError if the header is damaged or its format unknown. `count` is the number of documents.
    """

    def __init__(self, source):
        self.source = source
        self.record = bytearray(RECORD_SIZE)
        self.letters = memoryview(self.record)[1:]
        header = bytearray(HEADER_SIZE)
        self._read(0, header)
        magic, version, count, record_size, self.crc = struct.unpack(HEADER, header)
        if magic != MAGIC:
            raise DatasetError("%s holds no names: write it again" % source.name)
        if version != VERSION or record_size != RECORD_SIZE:
            raise DatasetError(
                "%s has format version %d with records of %d bytes, this program reads version %d"
                " with %d" % (source.name, version, record_size, VERSION, RECORD_SIZE)
            )
        if count < 1:
            raise DatasetError("%s is empty: it needs at least one name" % source.name)
        self.count = count

    def _read(self, offset, buffer):
        try:
            count = self.source.readinto(offset, buffer)
        except OSError:  # raised by a partition for an offset beyond its end
            count = 0
        if count != len(buffer):
            raise DatasetError("%s is cut short: write it again" % self.source.name)

    def check(self):
        """Raise DatasetError unless the records have the CRC32 that the header says."""
        chunk = bytearray(256 * RECORD_SIZE)
        end = HEADER_SIZE + self.count * RECORD_SIZE
        crc = 0
        for offset in range(HEADER_SIZE, end, len(chunk)):
            part = memoryview(chunk)[: min(len(chunk), end - offset)]
            self._read(offset, part)
            crc = crc32(part, crc)
        if crc != self.crc:
            raise DatasetError("%s is damaged (CRC32 differs): write it again" % self.source.name)

    def read_into(self, index, tokens):
        """Write the tokens of document `index` into `tokens`, cut to its length; return how many.

        Raises DatasetError if the record is damaged.
        """
        self._read(HEADER_SIZE + index * RECORD_SIZE, self.record)
        length = self.record[0]
        try:
            if length > MAX_LETTERS:
                raise ValueError
            return encode_into(tokens, self.letters, length)
        except ValueError:
            raise DatasetError("%s is damaged (record %d)" % (self.source.name, index))


def open_dataset():
    """Return the board's documents; raise DatasetError if they are missing or damaged."""
    try:
        source = board.open_names()
    except OSError:
        raise DatasetError(
            "no names: neither a partition %s nor names.bin; make flash or make deploy writes them"
            % board.PARTITION
        )
    dataset = Dataset(source)
    dataset.check()
    return dataset
