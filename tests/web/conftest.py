"""The page in a real Chromium, at the real service."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.services import Service
from tests.support.web import chromium as browser

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.web.page import Page
    from tests.support.web.site_page import SitePage
    from tests.support.web.try_page import Try


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Chrome]":
    """A Chromium for all tests of a process."""
    if not (browser.CHROMIUM and browser.DRIVER):
        pytest.skip(browser.NEEDED)
    driver = browser.start()
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: "Chrome", names_service: Service) -> "Iterator[Page]":
    """The page of a model that generates documents and cannot chat."""
    from tests.support.web.page import Page

    page = Page(chromium, names_service.url)
    yield page
    assert page.hosts() == {page.url.split("/")[2]}
    # "rendering": advice about reading a canvas back, which is a test's doing
    log = page.driver.get_log("browser")
    assert [entry for entry in log if entry["source"] != "rendering"] == []


@pytest.fixture
def chat_page(chromium: "Chrome", chat_service: Service) -> "Page":
    """The page of a model that chats."""
    from tests.support.web.page import Page

    return Page(chromium, chat_service.url)


@pytest.fixture
def trying(site_page: "SitePage") -> "Try":
    """The tab Try of the site, when it has said where the default model fits."""
    from tests.support.web.try_page import Try

    return Try(site_page)
