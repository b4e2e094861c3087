"""names.bin as the page makes it: the same bytes as the tool's, and the same refusals."""

import hashlib
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microgpt.data import NAMES
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source
from microgpt_board.site import facts

from tests.support.web.node import call

FORMAT: Any = facts.site("", [])["names_format"]
# How the page says what the tool says with the names of its options.
WORDS = (
    (
        r"BLOCK_SIZE=(\d+) keeps the longest, CUT=1",
        r"\1 positions keep the longest, “Cut long lines”",
    ),
    (r"CUT=1 cuts", "“Cut long lines” cuts"),
    (r"MAX_CHARACTERS=(\d+) \(--max-characters \d+\)", r"keeping the \1 most frequent"),
    (r"name a shorter list, or a smaller BLOCK_SIZE", "give a shorter list, or fewer positions"),
    (r"name a shorter list", "give a shorter list"),
    (r"name another file", "choose another file"),
)


def in_the_page(message: str) -> str:
    """A message of the tool in the words of the page."""
    for pattern, words in WORDS:
        message = re.sub(pattern, words, message)
    return message


def of_the_tool(path: Path, **how: Any) -> dict[str, Any]:
    """What the tool makes of a file, or {"refusal": its message}."""
    try:
        packed = names_bin.read(Source(path, **how))
    except ToolError as error:
        return {"refusal": in_the_page(str(error).replace(str(path), path.name))}
    return {
        "data": packed.data,
        "documents": packed.documents,
        "charset": packed.charset,
        "dropped": dict(packed.dropped),
        "cut": packed.cut,
        "lost": packed.lost,
        "longest": packed.source.longest,
        "needed": packed.needed,
        "record_size": packed.source.record_size,
    }


def of_the_page(path: Path, format: dict[str, Any] = FORMAT, **how: Any) -> dict[str, Any]:  # noqa: A002
    """What the page makes of the same file, which was dropped on it."""
    made = call("site/data/names_bin.js", "attempt", path.read_bytes(), how, format, path.name)
    if "refusal" in made:
        return {"refusal": made["refusal"]}
    assert list(made["dropped"]) == sorted(made["dropped"])
    assert {reason: min(count, 3) for reason, count in made["dropped"].items()} == {
        reason: len(lines) for reason, lines in made.pop("examples").items()
    }
    return made


def same(path: Path, content: bytes | str, **how: Any) -> dict[str, Any]:
    """What both make of a file with this content, which is the same."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    made = of_the_page(path, **how)
    assert made == of_the_tool(path, **how)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "in.txt"


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", ["names.txt", "towns.txt"])
def test_the_presets_are_packed_as_the_tool_packs_them(name: str, fold: bool) -> None:
    path = NAMES.with_name(name)
    made = of_the_page(path, fold=fold)
    assert made == of_the_tool(path, fold=fold)
    documents = call("site/data/names_bin.js", "documentsOf", made["data"], FORMAT)
    if not fold:
        assert documents == path.read_text().splitlines()


LINES = (
    "Emma", "  Müller \t", "Mu\u0308ller", "", "   ", "a\tb", "\x1b[2J", "a\x7fb", "\xad",
    "José-María", "Łucja", "ſtraße", "İstanbul", "ΣΑΣ", "ﬁne", "①②", "x" * 15, "x" * 16,
    "\U0001f43f" * 15, "\U0001f43f" * 16, "\U0001f469\u200d\U0001f680 ok", "東\u3000京",
    "\u1100\u1161\u11a8", "\u0344", "\ufeff", "\ufeffa", "\u0301e", "e\u0316\u0301",
    "\u2126 \u212b", "K", "'", "\\", "½", "\uffff", "\U0010ffff", "\ue000", "a" * 300,
    "\u0958", "q\u0307\u0323", "\u180e", "\u200b", "\u2060",
)  # fmt: skip


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_accents_forms_and_blanks_are_taken_as_the_tool_takes_them(
    file: Path, fold: bool, cut: bool
) -> None:
    for block_size in (None, 17, 100, 256):
        same(file, "\n".join(LINES), fold=fold, cut=cut, block_size=block_size)


def test_every_line_end_and_blank_of_python_is_one_of_the_page(file: Path) -> None:
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    ends = ["\r\n", "\r", *(c for c in spaces if len(f"a{c}b".splitlines()) > 1)]
    for end in ends:
        made = same(file, f"one{end}two{end}{end}three{end}")
        assert made["documents"] == 3
    others = [*spaces, "\ufeff", "\u200b", "\u180e", "\u2060", "\0"]
    same(file, "\n".join(f"{c}a{c}b{c}" for c in others))
    same(file, "\n".join(others))
    assert same(file, "a\n\n")["dropped"] == {"empty": 1}


def test_one_byte_order_mark_is_left_out(file: Path) -> None:
    assert same(file, b"\xef\xbb\xbfEmma\nZo\xc3\xab")["charset"] == "EZamoë"
    assert same(file, b"\xef\xbb\xbf\xef\xbb\xbfEmma")["charset"] == "Eam\ufeff"


def test_a_long_line_is_normalised_by_pieces(file: Path) -> None:
    marks = "e" + "\u0301\u0316" * 3000
    hangul = "\u1100\u1161" * 2000
    for pad in (1021, 1022, 1023, 1024):
        lines = [marks, "x" * pad + marks, "\U0001f43f" * pad + hangul, " " * pad + "e\u0301"]
        for how in ({"cut": True}, {"fold": True, "cut": True}, {"block_size": 256}):
            same(file, "\n".join(lines), **how)


def test_any_number_of_blanks_or_marks_is_read_at_once(file: Path) -> None:
    same(file, "a" + " " * 3_000_000 + "b\n" + " " * 3_000_000 + "\nab", cut=True)
    same(file, "e" + "\u0301\u0316" * 500_000 + "\nab", fold=True)


KNOWN = [  # characters that both versions of Unicode know: what comes later has other normal forms
    (0x20, 0x2FF), (0x300, 0x36F), (0x370, 0x6FF), (0x900, 0xDFF), (0x1100, 0x11FF),
    (0x1E00, 0x1FFF), (0x2000, 0x218F), (0x3040, 0x30FF), (0x4E00, 0x4E20), (0xAC00, 0xAC40),
    (0xFB00, 0xFB4F), (0x1F600, 0x1F640),
]  # fmt: skip


def known() -> st.SearchStrategy[str]:
    """A character of many scripts, or one that ends a line or is a blank."""
    ranges = [
        st.characters(min_codepoint=low, max_codepoint=high, exclude_categories=("Cn",))
        for low, high in KNOWN
    ]
    return st.one_of(st.sampled_from("ab e\u0301\u0323\n\n\r\t\x1c\x85\xa0\u2028\ufeff"), *ranges)


@settings(max_examples=60)
@given(
    st.lists(st.text(known(), max_size=30), max_size=40),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(1, 254),
    st.none() | st.integers(16, 256),
)
def test_any_text_makes_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    fold: bool,
    cut: bool,
    max_characters: int | None,
    block_size: int | None,
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.txt"
    how = {"fold": fold, "cut": cut, "max_characters": max_characters, "block_size": block_size}
    same(file, "\n".join(lines), **how)


MANY = [chr(0x4E00 + i) + chr(0x4E00 + i + 1) for i in range(0, 300, 2)]  # of 300 characters


def test_more_characters_than_a_board_can_have_are_refused_with_the_same_figures(
    file: Path,
) -> None:
    made = same(file, "\n".join([*MANY[:127], "é'", "\\é", "é", "\u200dé\u200d", "\U0001f43f"]))
    assert made["refusal"] == (
        "in.txt has 259 different characters, names.bin can have 254; the rarest are "
        "'\\U0001f43f', '\\u4efd', '\\u4efc', '\\u4efb', '\\u4efa': keeping the 254 most frequent "
        "drops 3 of 132 documents"
    )
    assert same(file, "\n".join(MANY[:127]))["documents"] == 127
    kept = same(file, "\n".join(MANY), max_characters=254)
    assert (kept["documents"], kept["dropped"]) == (127, {"rare characters": 23})
    # Of those as frequent, the first by code point: U+FF5E, which JavaScript puts after U+1F43F.
    assert same(file, "\U0001f43f\n\uff5e\nb\nb", max_characters=2)["charset"] == "b\uff5e"
    assert same(file, "\U0001f43f\n\uff5e")["charset"] == "\uff5e\U0001f43f"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "in.txt has no document to keep (it is empty)"),
        (b"\xef\xbb\xbf", "in.txt has no document to keep (it is empty)"),
        (b"\n1\t23\n", "in.txt has no document to keep (control characters: 1, empty: 1)"),
        (b"\xff\xfe\x00", "in.txt is not UTF-8 text: convert it, or choose another file"),
        (b"a\n\xed\xa0\x80", "in.txt is not UTF-8 text: convert it, or choose another file"),
        (b"a\xc3", "in.txt is not UTF-8 text: convert it, or choose another file"),
        (
            b"e" * 100,
            "in.txt has no document to keep (over 15 characters: 1); 101 positions keep the "
            "longest, “Cut long lines” cuts it",
        ),
        (
            b"e" * 2000,
            "in.txt has no document to keep (over 15 characters: 1); the longest has 2,000 "
            "characters: “Cut long lines” cuts it",
        ),
        (
            b"e" * (16 << 20) + b"\n",
            "in.txt has more than 16,777,216 bytes: give a shorter list",
        ),
    ],
)
def test_a_text_is_refused_in_the_words_of_the_tool(
    file: Path, content: bytes, message: str
) -> None:
    assert same(file, content) == {"refusal": message}


def test_more_bytes_than_a_board_can_have_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_bin, "MAX_BYTES", 32)
    file.write_text("ab\nc\nd")
    made = of_the_page(file, FORMAT | {"max_bytes": 32})
    assert made == of_the_tool(file)
    assert made["refusal"] == (
        "in.txt has 3 documents, and 16 bytes for each are more than 32: give a shorter list, or "
        "fewer positions"
    )


def test_a_refusal_says_which_settings_would_do(file: Path) -> None:
    def offered(content: str) -> dict[str, Any]:
        made = call("site/data/names_bin.js", "attempt", content.encode(), {}, FORMAT, "in.txt")
        return made["set"]

    assert offered("\n".join(MANY)) == {"max_characters": 254}
    assert offered("e" * 100) == {"block_size": 101}
    assert offered("e" * 1000) == {"cut": True}
    assert offered("") == {}


def test_the_lines_that_were_dropped_are_named(file: Path) -> None:
    text = "Emma\n\na\tb\n" + "x" * 100
    made = call("site/data/names_bin.js", "attempt", text.encode(), {}, FORMAT, "in.txt")
    assert made["examples"] == {
        "control characters": [{"line": 3, "text": "a\tb"}],
        "empty": [{"line": 2, "text": ""}],
        "over 15 characters": [{"line": 4, "text": "x" * 60}],
    }


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_hashes_are_those_of_python(size: int) -> None:
    data = bytes(i * 7 % 256 for i in range(size))
    assert call("site/data/hashes.js", "sha256", data) == hashlib.sha256(data).hexdigest()
    assert call("site/data/hashes.js", "crc32", data) == zlib.crc32(data)
