"""The tab Watch of the site."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.web.site import SiteServer

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.web.watch_tab import Tab


@pytest.fixture
def tab(chromium: "Chrome", site: SiteServer) -> "Iterator[Tab]":
    """The tab Watch."""
    from tests.support.web.watch_tab import opened

    with opened(chromium, site) as tab:
        yield tab
