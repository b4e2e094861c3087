"""The site as it is built: what it has, how large it is, where and without what it works."""

from typing import TYPE_CHECKING

import pytest

from tests.support.node import JsError, call, evaluate

if TYPE_CHECKING:
    from tests.support.site_page import SitePage


def test_functions_of_the_pages_are_called_in_node() -> None:
    assert call("common/text.js", "grouped", 4192) == "4,192"
    assert evaluate("return [args[0].length, new Uint8Array([1, 2])]", b"abc") == [3, b"\1\2"]
    with pytest.raises(JsError, match="no such thing"):
        evaluate("throw new Error('no such thing')")


def test_it_starts(site_page: "SitePage") -> None:
    assert site_page.the("h1").text
