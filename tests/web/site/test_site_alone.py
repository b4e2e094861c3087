"""The site on its own: no other host, no network at all, its own policy, without its kernels."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver import Chrome

from tests.support.web import chromium as browser
from tests.support.web.proxy import RefusingProxy
from tests.support.web.site import SiteServer
from tests.support.web.site_page import SitePage
from tests.support.web.site_runs import begin, computer_log, finish, timeless

Damage = Callable[[bytes], bytes]

# What the page does against its policy, also where it goes on as if nothing had happened.
WATCHER = """
    window.broken = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      broken.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
    });"""


@pytest.fixture
def proxy() -> Iterator[RefusingProxy]:
    proxy = RefusingProxy()
    yield proxy
    proxy.close()


@pytest.fixture
def proxied_page(proxy: RefusingProxy, site: SiteServer) -> Iterator[SitePage]:
    """The site in a Chromium of its own, which asks the proxy for whatever is not this computer."""
    if not (browser.CHROMIUM and browser.DRIVER):
        pytest.skip(browser.NEEDED)
    driver = browser.start(f"--proxy-server={proxy.address}")
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHER})
    yield SitePage(driver, site.url)
    driver.quit()


def test_no_request_leaves_and_the_policy_holds(
    proxied_page: SitePage, proxy: RefusingProxy, site: SiteServer
) -> None:
    page = proxied_page
    begin(page, steps=200)
    assert finish(page)[-1].startswith("name:")
    page.until(lambda: page.the("#inside-pictures").is_displayed())
    for tab in ("flash", "watch", "try"):
        page.press(f"#tab-{tab}")
        assert page.the(f"#{tab}").is_displayed()
    assert page.driver.execute_script("return broken") == []
    page.check(site.host)
    assert [line for line in proxy.asked if not of_chromium(line)] == []
    page.driver.get("http://example.invalid/")  # the proxy is asked, of what a page asks for
    assert any("example.invalid" in line for line in proxy.asked)


def of_chromium(line: str) -> bool:
    """Whether a request is one that Chromium makes by itself, with any page or none."""
    host = line.split()[1].removeprefix("http://").split("/")[0].split(":")[0]
    return host.endswith((".google.com", ".googleapis.com", ".gvt1.com"))


def test_the_listener_hears_what_breaks_the_policy(proxied_page: SitePage) -> None:
    page = proxied_page
    page.driver.execute_script("""
        const style = document.createElement("style");
        style.textContent = "body { color: red }";
        document.head.append(style);""")
    page.until(lambda: page.driver.execute_script("return broken.length"))


def test_a_run_without_a_network(site_page: SitePage, site: SiteServer, tmp_path: Path) -> None:
    page = site_page
    page.driver.execute_async_script("navigator.serviceWorker.ready.then(arguments[0])")
    site.down = True
    page.go("try")
    begin(page, steps=60, seed=5)
    expected = computer_log(tmp_path, "--steps", 60, "--seed", 5)
    assert timeless(finish(page)) == timeless(expected)
    page.press("#tab-flash")
    assert page.the("#flash").is_displayed()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:4000] + bytes([data[4000] ^ 1]) + data[4001:], "damaged-kernels.wasm"),
        (lambda data: data[:4000], "damaged-kernels.wasm"),
        (lambda data: b"<!doctype html><p>not here", "damaged-kernels.wasm"),
        (None, "no-kernels.wasm"),
    ],
    ids=["a bit", "cut", "another file", "missing"],
)
def test_without_its_kernels_the_tab_trains_with_the_portable_ones(
    site_copy: Path, chromium: Chrome, damage: Damage | None, reason: str
) -> None:
    kernels = site_copy / "kernels.wasm"
    if damage:
        kernels.write_bytes(damage(kernels.read_bytes()))
    else:
        kernels.unlink()
    server = SiteServer(site_copy)
    page = SitePage(chromium, server.url)
    begin(page, steps=3)
    log = finish(page)
    server.close()
    assert f"kernels:portable reason:{reason} seed:42 " in log[0]
    assert log[-1].startswith("name:")


def test_a_site_without_an_image_says_how_to_add_one(site_page: SitePage) -> None:
    site_page.go("flash")
    assert "make site IMAGES=" in site_page.the("#flash-none").text
    assert not site_page.the("#flash-start").is_displayed()
