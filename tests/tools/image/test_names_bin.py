"""names.bin from a text file: what went in comes out, and what is dropped is said."""

import subprocess
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from microgpt.data import NAMES
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Packed, Source
from ugpt.dataset import Dataset
from ugpt.tokenizer import LETTERS

from tests.support.commands import microgpt_board


def read_back(data: bytes) -> list[str]:
    """Return the documents of names.bin as the board reads them."""
    dataset = Dataset(names_bin.InMemory("test", data))
    dataset.check()
    tokens = bytearray(dataset.record_size + 1)
    return [
        dataset.tokenizer.decode(tokens[: dataset.read_into(i, tokens)])
        for i in range(dataset.count)
    ]


def pack(lines: Iterable[str], **how: Any) -> Packed:
    """Pack lines; `how` as the fields of Source."""
    return names_bin.pack(lines, Source(Path("in.txt"), **how))


def test_all_of_names_txt_is_packed_as_26_letters() -> None:
    packed = names_bin.read(Source(NAMES))
    assert not packed.dropped
    assert not packed.cut
    assert packed.charset == LETTERS
    assert len(packed.data) == 32 + 32 + 16 * 32469
    assert read_back(packed.data) == NAMES.read_text().split()
    assert names_bin.read(Source(NAMES, fold=True)).data == packed.data


def test_the_tokens_of_names_txt_are_those_of_version_1() -> None:
    data = names_bin.read(Source(NAMES)).data[64:]
    for i, name in enumerate(NAMES.read_bytes().split()):
        tokens = bytes(letter - 96 for letter in name)
        assert data[16 * i : 16 * i + 16] == (bytes([len(name)]) + tokens).ljust(16, b"\0")


@given(st.lists(st.text(LETTERS, min_size=1, max_size=15), min_size=1))
def test_letters_come_out_as_they_went_in(names: list[str]) -> None:
    for fold in (False, True):
        packed = pack(names, fold=fold)
        assert not packed.dropped
        assert read_back(packed.data) == names
    assert packed.charset == LETTERS


TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=255)


@given(st.lists(TEXTS, min_size=1), st.integers(16, 256))
def test_any_text_comes_out_as_it_went_in(lines: list[str], block_size: int) -> None:
    kept = [unicodedata.normalize("NFC", line).strip() for line in lines]
    kept = [text for text in kept if 1 <= len(text) < block_size]
    characters = sorted(set("".join(kept)))
    assume(len(characters) <= 254)
    packed = pack(lines, block_size=block_size)
    assert packed.documents == len(kept)
    assert packed.dropped.total() == len(lines) - len(kept)
    assert packed.charset == "".join(characters)
    if kept:
        assert read_back(packed.data) == kept


@given(st.lists(st.text(st.characters())), st.booleans(), st.booleans(), st.integers(1, 254))
def test_every_line_is_kept_or_counted(
    lines: list[str], fold: bool, cut: bool, characters: int
) -> None:
    packed = pack(lines, fold=fold, cut=cut, max_characters=characters)
    assert packed.documents + packed.dropped.total() == len(lines)
    assert cut or not packed.cut
    if packed.documents:
        documents = read_back(packed.data)
        assert len(documents) == packed.documents
        assert max(map(len, documents)) <= 15
        again = pack(documents, fold=fold, max_characters=characters)
        # A cut document can end with a blank, which is stripped.
        assert cut or again.data == packed.data


@given(st.lists(st.text(max_size=40)), st.integers(16, 64))
def test_cut_documents_keep_their_beginning(lines: list[str], block_size: int) -> None:
    whole = pack(lines, block_size=64, max_characters=254)
    assert whole.cut == 0
    packed = pack(lines, block_size=block_size, max_characters=254, cut=True)
    if whole.documents:
        beginnings = [text[: block_size - 1] for text in read_back(whole.data)]
        assert read_back(packed.data) == beginnings
        assert packed.cut == sum(len(text) >= block_size for text in read_back(whole.data))


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ("  Müller \t", "Müller"),
        ("Mu\u0308ller", "Müller"),  # one character, not a letter and an accent
        ("C#m7/G", "C#m7/G"),
        ("C[C@@H](O)C#N", "C[C@@H](O)C#N"),
        ("\U0001f469\u200d\U0001f680 ok", "\U0001f469\u200d\U0001f680 ok"),
        ("東\u3000京", "東\u3000京"),
    ],
)
def test_a_document_is_its_line_with_no_blanks_around(line: str, document: str) -> None:
    assert read_back(pack([line]).data) == [document]


def test_any_number_of_combining_marks_is_read_at_once() -> None:
    marks = "e" + "\u0301\u0316" * 1_000_000  # their order costs the square of what is normalised
    packed = pack([marks, "ab"])
    assert read_back(packed.data) == ["ab"]
    assert packed.dropped == {"over 15 characters": 1}
    assert len(read_back(pack([marks], cut=True).data)[0]) == 15
    assert read_back(pack([marks, " " * 1023 + "e\u0301"], fold=True).data) == ["e", "e"]


def test_blanks_around_a_document_do_not_part_it() -> None:
    for blanks in range(1020, 1030):
        assert read_back(pack([" " * blanks + "e\u0301"]).data) == ["é"]


def test_what_is_dropped_and_why() -> None:
    lines = ["Emma", "", "  ", "123", "x" * 15, "x" * 16, "a\tb", "\x1b[2J", "a\x85b", "\ud800"]
    packed = pack(lines)
    assert read_back(packed.data) == ["Emma", "123", "x" * 15]
    reasons = {"empty": 2, "over 15 characters": 1, "control characters": 4}
    assert packed.dropped == reasons
    assert packed.needed == 17
    assert packed.charset == "123Eamx"  # of what is kept


def test_what_is_dropped_and_lost_by_folding() -> None:
    lines = ["Emma", "", "  ", "123", "x" * 15, "x" * 16, "José-María", "Łucja"]
    packed = pack(lines, fold=True)
    assert read_back(packed.data) == ["emma", "x" * 15, "josemaria", "ucja"]
    assert packed.dropped == {"empty": 2, "no letter": 1, "over 15 characters": 1}
    assert packed.lost == 1  # the Ł
    assert packed.charset == LETTERS


MANY = [chr(0x4E00 + i) + chr(0x4E00 + i + 1) for i in range(0, 300, 2)]  # of 300 characters


def test_254_characters_are_taken_and_255_refused() -> None:
    packed = pack(MANY[:127])
    assert (len(packed.charset), packed.data[28]) == (254, 255)
    assert read_back(packed.data) == MANY[:127]
    with pytest.raises(ToolError) as error:
        pack([*MANY[:127], "é\x7f", "é", "é", "\u200dé\u200d"])
    assert str(error.value) == (
        "in.txt has 256 different characters, names.bin can have 254; the rarest are '\\u4efd', "
        "'\\u4efc', '\\u4efb', '\\u4efa', '\\u4ef9': MAX_CHARACTERS=254 (--max-characters 254) "
        "drops 1 of 130 documents"
    )


def test_the_most_frequent_characters_are_kept() -> None:
    packed = pack(["aab", "ab", "bd", "cccc", "cb"], max_characters=2)
    # In documents: b 4, a 2, c 2, d 1; of those as frequent the first in Unicode.
    assert read_back(packed.data) == ["aab", "ab"]
    assert packed.dropped == {"rare characters": 3}
    assert pack(["ab", "cd"], max_characters=3).charset == "ab"  # no c without a document
    assert pack(MANY, max_characters=254).documents == 127


def test_more_bytes_than_a_board_can_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_bin, "MAX_BYTES", 32)
    assert pack(["ab", "c"]).documents == 2
    with pytest.raises(ToolError, match="has 3 documents, and 16 bytes for each are more than 32"):
        pack(["ab", "c", "d"])


def names_bin_command(*words: object) -> subprocess.CompletedProcess[str]:
    return microgpt_board("names", *words)


def test_the_command_reports(tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "names.bin"
    source.write_text("Zoë\n\n1\t23\nMünchhausen am See\n" + "o" * 300 + "\n")
    result = names_bin_command(source, target)
    assert result.returncode == 0
    assert result.stdout == (
        f"{target}: 1 documents, 3 characters, 64 bytes; dropped 4 (control characters: 1, "
        "empty: 1, over 15 characters: 2); the longest has 300 characters: CUT=1 cuts it\n"
    )
    assert read_back(target.read_bytes()) == ["Zoë"]
    result = names_bin_command(source, target, "--block-size", 64, "--cut", "--max-characters", 20)
    assert result.stdout == (
        f"{target}: 3 documents, 15 characters, 256 bytes; dropped 2 (control characters: 1, "
        "empty: 1); 1 cut to 63 characters\n"
    )
    assert read_back(target.read_bytes()) == ["Zoë", "Münchhausen am See", "o" * 63]
    result = names_bin_command(source, target, "--fold", "--block-size", 20)
    assert "2 documents, 26 characters, 128 bytes; dropped 3 (" in result.stdout
    assert read_back(target.read_bytes()) == ["zoe", "munchhausenamsee"]


def test_the_block_size_that_keeps_all_is_said(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n" + "b" * 20 + "\n" + "c" * 30 + "\n")
    result = names_bin_command(tmp_path / "in.txt", tmp_path / "names.bin")
    assert (
        "(over 15 characters: 2); BLOCK_SIZE=31 keeps the longest, CUT=1 cuts it" in result.stdout
    )
    result = names_bin_command(tmp_path / "in.txt", tmp_path / "names.bin", "--block-size", 31)
    assert "3 documents, 3 characters, 144 bytes; none dropped\n" in result.stdout


def test_large_numbers_are_grouped(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("ä\n" * 1000 + "b" * 16 + "\n" + "\n" * 2000)
    result = names_bin_command(tmp_path / "in.txt", tmp_path / "names.bin", "--fold", "--cut")
    assert result.stdout.endswith(
        ": 1,001 documents, 26 characters, 16,080 bytes; dropped 2,000 (empty: 2,000); "
        "1 cut to 15 characters\n"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("block-size", 15), ("block-size", 257), ("max-characters", 0), ("max-characters", 255)],
)
def test_an_impossible_option_is_refused(tmp_path: Path, option: str, value: int) -> None:
    (tmp_path / "in.txt").write_text("emma\n")
    words = (tmp_path / "in.txt", tmp_path / "names.bin", f"--{option}", value)
    result = names_bin_command(*words)
    assert result.returncode != 0
    assert f"{value} is not in the range" in result.stderr
    assert not (tmp_path / "names.bin").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no document to keep"),
        (b"\n1\t23\n", "has no document to keep (control characters: 1, empty: 1)"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (None, "cannot read"),
        (b"e" * 100, "has no document to keep (over 15 characters: 1); BLOCK_SIZE=101 keeps"),
        (b"e" * (16 << 20) + b"\n", "has more than 16,777,216 bytes: name a shorter list"),
    ],
)
def test_bad_input_is_one_line_and_keeps_the_old_file(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "in.txt").write_bytes(content)
    target = tmp_path / "names.bin"
    target.write_bytes(b"old")
    result = names_bin_command(str(tmp_path / "in.txt"), str(target))
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert target.read_bytes() == b"old"


def test_the_text_file_itself_is_not_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("emma\n")
    result = names_bin_command(str(source), str(source))
    assert result.returncode == 1
    assert "the text file itself" in result.stderr
    assert source.read_text() == "emma\n"
