"""The site for everyone: axe in each tab, theme and state; the keyboard alone; a narrow phone."""

import pytest

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.axe import violations
from tests.support.site_page import SitePage

TABS = ("try", "flash", "watch")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("tab", TABS)
def test_axe_finds_nothing_in_a_tab(site_page: SitePage, tab: str, dark: bool, width: int) -> None:
    site_page.size(width, 800)
    site_page.dark(dark)
    site_page.go(tab)
    site_page.until(lambda: site_page.the(f"#{tab}").is_displayed())
    assert violations(site_page.driver) == []


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_is_wider_than_the_window(site_page: SitePage, width: int, tab: str) -> None:
    site_page.size(width, 800)
    site_page.go(tab)
    assert wider(site_page) == []


def wider(page: SitePage) -> list[str]:
    """The elements that make the page scroll sideways, [] if it does not."""
    script = """
        const { scrollWidth, clientWidth } = document.documentElement;
        if (scrollWidth <= clientWidth) return [];
        return [...document.body.querySelectorAll("*")]
          .filter((e) => e.getBoundingClientRect().right > clientWidth + 0.5)
          .map((e) => e.outerHTML.slice(0, 120));"""
    return page.driver.execute_script(script)


def focused(page: SitePage) -> str:
    """Where the focus is: the id, or the beginning of the element."""
    script = "const e = document.activeElement; return e.id || e.outerHTML.slice(0, 80)"
    return page.driver.execute_script(script)


def press(page: SitePage, *keys: str) -> None:
    """Type keys at whatever has the focus."""
    ActionChains(page.driver).send_keys(*keys).perform()


def test_the_tabs_with_arrow_keys(site_page: SitePage) -> None:
    page = site_page
    page.driver.execute_script("document.getElementById('tab-try').focus()")
    for key, tab in (
        (Keys.ARROW_RIGHT, "flash"),
        (Keys.ARROW_RIGHT, "watch"),
        (Keys.ARROW_RIGHT, "try"),
        (Keys.ARROW_LEFT, "watch"),
        (Keys.HOME, "try"),
        (Keys.END, "watch"),
    ):
        press(page, key)
        assert focused(page) == f"tab-{tab}"
        shown = [name for name in TABS if page.the(f"#{name}").is_displayed()]
        assert shown == [tab]


@pytest.mark.parametrize("tab", TABS)
def test_the_focus_is_seen_wherever_it_goes(site_page: SitePage, tab: str) -> None:
    page = site_page
    page.go(tab)
    seen: list[str] = []
    outline = """
        const style = getComputedStyle(document.activeElement);
        return [style.outlineStyle, parseFloat(style.outlineWidth)]"""
    for _ in range(80):
        press(page, Keys.TAB)
        place = focused(page)
        if place.startswith("<body"):  # between the last element and the first
            continue
        if place in seen:
            break
        seen.append(place)
        style, width = page.driver.execute_script(outline)
        assert style != "none" and width >= 1, f"{place} has the focus, and no outline"
    assert f"tab-{tab}" in seen
    assert "theme" in seen
