"""Tables for notebooks: well-formed, and text from outside is text in them."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from microgpt import html
from microgpt.system.terminal import printable

NASTY = "<script>alert('&')</script>\x1b[2J\u202e"


def texts(element: ElementTree.Element, tag: str) -> list[str]:
    return ["".join(found.itertext()) for found in element.iter(tag)]


def test_text_is_text() -> None:
    more = html.details(NASTY, [NASTY], [[NASTY]])
    page = ElementTree.fromstring(html.facts(NASTY, {NASTY: NASTY}, more))
    assert page.find(".//script") is None
    shown = "<script>alert('&')</script>\\x1b[2J\\u202e"
    for tag in ("strong", "summary", "th", "td"):
        assert set(texts(page, tag)) == {shown}, tag


@given(st.text(st.characters(exclude_categories=()), max_size=html.LONGEST))
def test_any_text_is_well_formed(text: str) -> None:
    page = ElementTree.fromstring(html.facts("title", {"name": text}))
    assert texts(page, "td") == [printable(text)]


def test_a_long_text_is_cut() -> None:
    page = ElementTree.fromstring(html.facts("title", {"name": "x" * 5000}))
    assert texts(page, "td") == ["x" * html.LONGEST + "…"]


def test_a_short_table_is_open() -> None:
    rows = [["a", "b"]] * html.SHORT
    assert "open" in ElementTree.fromstring(html.details("s", ["1", "2"], rows)).attrib
    longer = ElementTree.fromstring(html.details("s", ["1", "2"], [*rows, ["a", "b"]]))
    assert "open" not in longer.attrib
    assert len(texts(longer, "td")) == 2 * (html.SHORT + 1)
