"""The site for everyone: axe in each tab, theme and state; the keyboard alone; a narrow phone."""

import pytest

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.web.axe import violations
from tests.support.web.site_page import SitePage
from tests.support.web.site_runs import AS_FAST_AS_IT_GOES, begin, finish, until_step

TABS = ("try", "flash", "watch")


@pytest.mark.parametrize("tab", TABS)
def test_axe_finds_nothing_in_a_tab(site_page: SitePage, tab: str) -> None:
    site_page.go(tab)
    site_page.until(lambda: site_page.the(f"#{tab}").is_displayed())
    assert look_everywhere(site_page) == []


@pytest.mark.parametrize("tab", TABS)
def test_nothing_is_wider_than_the_window(site_page: SitePage, tab: str) -> None:
    for width in (320, 360, 768, 1280):
        site_page.size(width, 800)
        site_page.go(tab)
        assert wider(site_page) == [], width


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
    outlined = """
        const e = document.activeElement;
        return [e, e.closest("label")].some((place) => {
          const style = place && getComputedStyle(place);
          return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
        });"""
    for _ in range(80):
        press(page, Keys.TAB)
        place = focused(page)
        if place.startswith("<body"):  # between the last element and the first
            continue
        if place in seen:
            break
        seen.append(place)
        assert page.driver.execute_script(outlined), f"{place} has the focus, and no outline"
    assert f"tab-{tab}" in seen
    assert "theme" in seen


def look_everywhere(page: SitePage) -> list[str]:
    """What axe finds in both themes, on a desktop and a phone, and what makes the page too wide."""
    found = []
    for width in (1280, 360):
        page.size(width, 800)
        found += wider(page)
        for dark in (False, True):
            page.dark(dark)
            found += [f"{width} {dark}: {line}" for line in violations(page.driver)]
    return found


OPEN_ALL = "for (const e of document.querySelectorAll('details')) e.open = true"


def test_axe_finds_nothing_while_it_trains_nor_after_it(site_page: SitePage) -> None:
    page = site_page
    begin(page, speed=4, steps=400)
    until_step(page, 30)
    page.driver.execute_script("document.getElementById('inside').scrollIntoView()")
    page.until(lambda: page.the("#inside-pictures").is_displayed())
    page.driver.execute_script(OPEN_ALL)
    assert look_everywhere(page) == []
    page.press("#run-start")  # pause
    page.until(lambda: page.the("#run-phase").text == "Paused")
    assert look_everywhere(page) == []
    page.slide("#run-speed", AS_FAST_AS_IT_GOES)
    page.press("#run-start")
    finish(page)
    assert look_everywhere(page) == []


def test_axe_finds_nothing_in_errors(site_page: SitePage) -> None:
    page = site_page
    page.until(lambda: page.driver.execute_script("return microgpt.draft"))
    page.driver.execute_script(OPEN_ALL)
    page.press("#list-own")
    page.the("#data-text").send_keys("Zoë\n\nÉmile\n" + "a very long document " * 20)
    page.until(lambda: "dropped" in page.the("#data-made").text)
    page.fill("#set-n_embd", 17)
    page.until(lambda: page.the("#settings-error").text or page.the("#fits-figures").text)
    assert look_everywhere(page) == []


def test_a_run_with_the_keyboard_alone(site_page: SitePage) -> None:
    page = site_page
    page.until(lambda: page.driver.execute_script("return microgpt.draft"))
    tab_to(page, "run-start")
    press(page, Keys.ENTER)
    until_step(page, 1)
    tab_to(page, "run-speed")
    press(page, Keys.END)
    finish(page)
    assert page.the("#run-phase").text == "Done"
    tab_to(page, "inside-text")
    press(page, Keys.CONTROL + "a" + Keys.NULL, "ada", Keys.ENTER)
    page.until(lambda: "ada" in page.the("#inside-next-title").text)


def tab_to(page: SitePage, place: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        if focused(page) == place:
            return
        press(page, Keys.TAB)
    raise AssertionError(f"Tab does not reach {place}")


def test_nothing_moves_for_whoever_wants_it_so(site_page: SitePage) -> None:
    page = site_page
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.go("try")
    begin(page, steps=100)
    finish(page)
    script = """
        const smooth = getComputedStyle(document.documentElement).scrollBehavior;
        return [document.getAnimations().length, smooth]"""
    assert page.driver.execute_script(script) == [0, "auto"]
