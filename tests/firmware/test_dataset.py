"""Documents in flash: read one at a time, and damage is noticed."""

import struct
from binascii import crc32

from ugpt.dataset import Dataset, DatasetError

from tests.support.micropython.arrays import raises


class Source:
    """names.bin as bytes."""

    name = "test"

    def __init__(self, data):
        self.data = data

    def readinto(self, offset, buffer):
        part = self.data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def image(names, magic=b"UGPTNAME", version=1, record_size=16):
    """Return names.bin, written out by hand from the design."""
    records = b""
    for name in names:
        records += bytes((len(name),)) + name.encode() + bytes(15 - len(name))
    header = struct.pack("<8sIIII", magic, version, len(names), record_size, crc32(records))
    return header + bytes(8) + records


NAMES = ["emma", "a", "maryalexandrina", ""]


def test_reads_what_was_written():
    dataset = Dataset(Source(image(NAMES)))
    dataset.check()
    assert dataset.count == 4
    tokens = bytearray(17)
    assert dataset.read_into(0, tokens) == 6
    assert list(tokens[:6]) == [0, 5, 13, 13, 1, 0]
    assert dataset.read_into(2, tokens) == 17
    assert dataset.read_into(3, tokens) == 2
    assert list(tokens[:2]) == [0, 0]


def test_a_header_that_is_not_ours_is_refused():
    for data in (
        b"",
        image(NAMES)[:31],
        b"\xff" * 4096,
        image(NAMES, magic=b"UGPTNAMF"),
        image(NAMES, version=2),
        image(NAMES, record_size=32),
        image([]),
    ):
        assert raises(DatasetError, Dataset, Source(data))


def test_each_flipped_byte_of_the_records_is_noticed():
    data = image(NAMES)
    for i in range(32, len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 1
        assert raises(DatasetError, Dataset(Source(bytes(damaged))).check), i


def test_a_short_file_is_noticed():
    assert raises(DatasetError, Dataset(Source(image(NAMES)[:-1])).check)


def test_a_long_list_is_checked_in_parts():
    names = ["ab"] * 700  # more than the 256 records of a part, and not a multiple
    Dataset(Source(image(names))).check()
    damaged = bytearray(image(names))
    damaged[-14] ^= 1
    assert raises(DatasetError, Dataset(Source(bytes(damaged))).check)


def test_a_length_beyond_the_record_is_noticed():
    damaged = bytearray(image(NAMES))
    damaged[32] = 16
    assert raises(DatasetError, Dataset(Source(bytes(damaged))).read_into, 0, bytearray(17))


def test_a_code_that_is_not_a_letter_is_noticed():
    tokens = bytearray(17)
    assert raises(DatasetError, Dataset(Source(image(["emMa"]))).read_into, 0, tokens)


def test_a_read_beyond_the_partition_is_noticed():
    class Partition(Source):
        def readinto(self, offset, buffer):
            if offset:
                raise OSError
            return super().readinto(offset, buffer)

    assert raises(DatasetError, Dataset(Partition(image(NAMES))).check)
