"""Documents in flash: read one at a time, and damage is noticed."""

import struct
from binascii import crc32

from ugpt.dataset import Dataset, DatasetError

from tests.support.micropython.arrays import raises

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Source:
    """names.bin as bytes."""

    name = "test"

    def __init__(self, data):
        self.data = data

    def readinto(self, offset, buffer):
        part = self.data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def padded(data, size):
    return data + bytes(size - len(data))


def image(names, magic=b"UGPTNAME", version=2, record_size=16, charset=LETTERS, vocab_size=None):
    """Return names.bin, written out by hand from the design; `charset` may be bytes."""
    characters = charset if isinstance(charset, bytes) else charset.encode()
    body = padded(characters, (len(characters) + 15) // 16 * 16)
    for name in names:
        tokens = bytes(charset.find(character) + 1 for character in name)
        body += padded(bytes((len(tokens),)) + tokens, record_size)
    values = (len(names), record_size, crc32(body), len(characters), vocab_size or len(charset) + 1)
    return struct.pack("<8sIIIIII", magic, version, *values) + body


NAMES = ["emma", "a", "maryalexandrina", ""]
FIRST = 32 + 32  # where the records begin, behind 26 characters and their padding
TOWNS = ["M\xfcnchen", "\u6771\u4eac", "Z", "\U0001f600 "]
TOWN_CHARACTERS = " MZcehn\xfc\u4eac\u6771\U0001f600"


def message(data):
    """Return the text of the DatasetError that names.bin with these bytes raises."""
    try:
        Dataset(Source(data)).check()
    except DatasetError as error:
        return str(error)
    raise AssertionError("no DatasetError")


def test_reads_what_was_written():
    dataset = Dataset(Source(image(NAMES)))
    dataset.check()
    assert dataset.count == 4
    assert dataset.record_size == 16
    assert dataset.tokenizer.charset == LETTERS
    tokens = bytearray(17)
    assert dataset.read_into(0, tokens) == 6
    assert list(tokens[:6]) == [0, 5, 13, 13, 1, 0]
    assert dataset.read_into(2, tokens) == 17
    assert tokens[16] == 0
    assert dataset.read_into(3, tokens) == 2
    assert list(tokens[:2]) == [0, 0]


def test_any_characters_and_any_length():
    for record_size in (16, 64, 256):
        towns = TOWNS + ["n" * (record_size - 1)]
        dataset = Dataset(Source(image(towns, record_size=record_size, charset=TOWN_CHARACTERS)))
        dataset.check()
        assert dataset.record_size == record_size
        assert dataset.tokenizer.charset == TOWN_CHARACTERS
        assert dataset.tokenizer.vocab_size == 12
        tokens = bytearray(record_size + 1)
        for i, town in enumerate(towns):
            count = dataset.read_into(i, tokens)
            assert count == len(town) + 2
            assert tokens[0] == tokens[count - 1] == 0
            assert dataset.tokenizer.decode(tokens[:count]) == town


def test_the_smallest_and_the_largest_vocabulary():
    for charset in ("\xe9", "".join(chr(0x10000 + i) for i in range(254))):
        names = [charset[0], charset[-1] * 15]
        dataset = Dataset(Source(image(names, charset=charset)))
        dataset.check()
        tokens = bytearray(17)
        assert dataset.read_into(1, tokens) == 17
        assert list(tokens) == [0] + [len(charset)] * 15 + [0]


def test_a_document_is_cut_to_the_tokens_that_fit():
    dataset = Dataset(Source(image(NAMES)))
    tokens = bytearray(5)
    assert dataset.read_into(2, tokens) == 5
    assert list(tokens) == [0, 13, 1, 18, 25]
    assert dataset.read_into(0, tokens) == 5
    assert list(tokens) == [0, 5, 13, 13, 1]
    assert dataset.read_into(1, tokens) == 3


def test_a_header_that_is_not_ours_is_refused():
    for data in (
        b"",
        image(NAMES)[:31],
        b"\xff" * 4096,
        image(NAMES, magic=b"UGPTNAMF"),
        image(NAMES, version=3),
        image(NAMES, record_size=24),
        image(NAMES, record_size=272),
        image([]),
    ):
        assert raises(DatasetError, Dataset, Source(data))


def test_an_older_version_is_refused_with_what_to_do():
    header = struct.pack("<8sIIII8x", b"UGPTNAME", 1, 1, 16, 0)
    assert message(header + bytes(16)) == (
        "test has format version 1, this program reads version 2: make flash, make deploy or mip"
        " writes it again"
    )


def test_characters_that_are_not_in_order_once_are_refused():
    Dataset(Source(image(["cab"], charset="abc"))).check()
    for charset, vocab_size in (
        ("acb", 4),
        ("aab", 4),
        ("abc", 3),
        ("abc", 5),
        ("", 1),
        ("a" * 255, 256),
        (b"ab\xc3", 4),  # cut in the middle of a character
        (b"ab\xff", 4),
        (b"a\xa9", 3),
    ):
        data = image([""], charset=charset, vocab_size=vocab_size)
        assert message(data)[:15] == "test is damaged", (charset, vocab_size)


def test_each_flipped_byte_behind_the_header_is_noticed():
    data = image(NAMES)
    for i in range(32, len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 1
        assert message(bytes(damaged)), i


def test_a_short_file_is_noticed():
    assert raises(DatasetError, Dataset(Source(image(NAMES)[:-1])).check)


def test_a_long_list_is_checked_in_parts():
    names = ["ab"] * 700  # more than a part holds, and not a multiple
    Dataset(Source(image(names))).check()
    damaged = bytearray(image(names))
    damaged[-14] ^= 1
    assert raises(DatasetError, Dataset(Source(bytes(damaged))).check)


def test_a_length_beyond_the_record_is_noticed():
    damaged = bytearray(image(NAMES))
    damaged[FIRST] = 16
    assert raises(DatasetError, Dataset(Source(bytes(damaged))).read_into, 0, bytearray(17))


def test_a_token_beyond_the_vocabulary_is_noticed():
    for token in (0, 27, 255):
        damaged = bytearray(image(NAMES))
        damaged[FIRST + 3] = token
        dataset = Dataset(Source(bytes(damaged)))
        assert raises(DatasetError, dataset.read_into, 0, bytearray(17)), token
        assert dataset.read_into(1, bytearray(17)) == 3


def test_a_read_beyond_the_partition_is_noticed():
    class Partition(Source):
        def readinto(self, offset, buffer):
            if offset + len(buffer) > FIRST:
                raise OSError
            return super().readinto(offset, buffer)

    assert raises(DatasetError, Dataset(Partition(image(NAMES))).check)
