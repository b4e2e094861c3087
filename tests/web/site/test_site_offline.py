"""The site without a network, in a sub-path, before it has loaded, after a newer build."""

import base64
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver import Chrome

from tests.support.web.site import SUB_PATH, SiteServer
from tests.support.web.site_page import SitePage

NEWER = "The newer build"


def kept(page: SitePage) -> list[str]:
    """What the browser keeps of the site, once the service worker is ready."""
    script = """
        const done = arguments[0];
        navigator.serviceWorker.ready.then(async () => {
          const addresses = [];
          for (const name of await caches.keys())
            for (const { url } of await (await caches.open(name)).keys()) addresses.push(url);
          done(addresses);
        });"""
    found: list[str] = page.driver.execute_async_script(script)
    return found


def test_it_works_offline_once_it_has_loaded(site: SiteServer, site_page: SitePage) -> None:
    files = {path.relative_to(site.folder).as_posix() for path in site.folder.rglob("*.*")}
    files = {"" if name == "index.html" else name for name in files - {"sw.js"}}
    assert {address.removeprefix(site.url) for address in kept(site_page)} == files
    site.down = True
    asked = list(site.paths)
    for fragment in ("try", "flash", "watch"):
        site_page.go(fragment)
        assert site_page.the(f"#{fragment} h1").is_displayed()
    script = "fetch(arguments[0]).then((answer) => arguments[1](answer.status))"
    for name in files:
        assert site_page.driver.execute_async_script(script, name) == 200
    assert set(site.paths) - set(asked) <= {"sw.js"}
    site.down = False
    site_page.driver.get_log("browser")  # that sw.js could not be looked up


def test_everything_comes_from_below_the_sub_path(site: SiteServer, site_page: SitePage) -> None:
    kept(site_page)
    assert "site.json" in site.paths
    assert [path for path in site.paths if path.startswith("/")] == []
    assert site_page.driver.current_url.startswith(f"http://{site.host}{SUB_PATH}")


@pytest.fixture
def changing(site_copy: Path, chromium: Chrome) -> Iterator[tuple[SiteServer, SitePage]]:
    """A site that a test changes, and its page."""
    server = SiteServer(site_copy)
    page = SitePage(chromium, server.url)
    kept(page)
    yield server, page
    page.driver.get("about:blank")
    server.close()


def build_newer(folder: Path) -> None:
    """Change the site as a newer build would."""
    page = folder / "index.html"
    before = integrity(page)
    page.write_text(page.read_text().replace("Train a GPT in this tab", NEWER))
    worker = folder / "sw.js"
    text, count = re.subn(r"\b[0-9a-f]{16}\b", "f" * 16, worker.read_text())
    assert (count, text.count(before)) == (1, 1)
    worker.write_text(text.replace(before, integrity(page)))


def integrity(file: Path) -> str:
    """The hash of a file as a request has it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode()


def is_newer(page: SitePage) -> bool:
    """Return whether the newer build is shown."""
    return NEWER in page.texts("h1")


def test_a_newer_build_replaces_the_old_at_the_next_visit(
    changing: tuple[SiteServer, SitePage],
) -> None:
    server, page = changing
    build_newer(server.folder)
    page.driver.get(server.url)
    page.until(lambda: is_newer(page))
    page.wait()
    # Nothing is left of the old one.
    assert len(kept(page)) == len(set(kept(page)))


def test_a_newer_build_is_not_kept_before_all_of_it_is_there(
    changing: tuple[SiteServer, SitePage],
) -> None:
    server, page = changing
    index = server.folder / "index.html"
    old = index.read_bytes()
    build_newer(server.folder)
    newer = index.read_bytes()
    index.write_bytes(old)  # sw.js has been copied before it
    script = """
        const done = arguments[0];
        navigator.serviceWorker.ready.then((found) => found.update()).then((found) => {
          const worker = found.installing;
          const look = () => worker.state !== "installing" && done(worker.state);
          worker.addEventListener("statechange", look);
          look();
        });"""
    assert page.driver.execute_async_script(script) == "redundant"
    page.driver.get(server.url)
    page.wait()
    assert not is_newer(page)
    index.write_bytes(newer)
    os.utime(index, (time.time() + 10,) * 2)  # the server tells times to the second
    page.driver.get(server.url)
    page.until(lambda: is_newer(page))
    page.driver.get_log("browser")  # that the page was not the one of sw.js


def test_a_page_in_use_is_not_replaced_by_itself(changing: tuple[SiteServer, SitePage]) -> None:
    server, page = changing
    page.go("try")
    page.the("#tab-flash").click()
    build_newer(server.folder)
    script = "navigator.serviceWorker.ready.then((found) => found.update()).then(arguments[0])"
    page.driver.execute_async_script(script)
    page.until(lambda: page.the("#newer").is_displayed())
    assert "newer version of this page" in page.the("#newer").text
    assert not is_newer(page)
    page.the("#newer-load").click()
    page.until(lambda: is_newer(page))
    page.wait()
    assert page.the("#flash").is_displayed()  # where it was
    assert not page.the("#newer").is_displayed()


def test_a_page_in_use_is_the_newer_one_at_the_next_visit(
    changing: tuple[SiteServer, SitePage],
) -> None:
    server, page = changing
    page.go("try")
    page.the("#tab-flash").click()
    build_newer(server.folder)
    script = "navigator.serviceWorker.ready.then((found) => found.update()).then(arguments[0])"
    page.driver.execute_async_script(script)
    page.until(lambda: page.the("#newer").is_displayed())
    page.go("try")
    page.until(lambda: is_newer(page))


def test_a_page_in_use_hears_that_another_tab_has_the_newer_build(
    changing: tuple[SiteServer, SitePage],
) -> None:
    server, page = changing
    page.go("try")
    page.the("#tab-flash").click()
    build_newer(server.folder)
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.driver.get(server.url)
    page.until(lambda: is_newer(page))
    page.driver.close()
    page.driver.switch_to.window(first)
    page.until(lambda: page.the("#newer").is_displayed())
    page.the("#newer-load").click()
    page.until(lambda: is_newer(page))


def test_it_is_painted_before_it_has_loaded(site: SiteServer, chromium: Chrome) -> None:
    site.held = {"site.json", "micropython.wasm", "program.json", "worker.js"}
    page = SitePage(chromium, site.url, wait=False)
    painted = """return performance.getEntriesByName("first-contentful-paint").length"""
    page.until(lambda: page.driver.execute_script(painted) == 1)
    assert page.the("#try h1").is_displayed()
    page.the("#tab-watch").click()
    assert page.the("#watch h1").is_displayed()
    assert "MicroPython" not in page.the("#version").text
    site.held = set()
    page.wait()


def test_opened_as_a_file_it_says_what_to_do(site_folder: Path, chromium: Chrome) -> None:
    page = SitePage(chromium, (site_folder / "index.html").as_uri(), wait=False)
    page.until(lambda: page.the("#waiting").is_displayed())
    assert "run python3 -m http.server, and open" in page.the("#waiting").text
    chromium.get("about:blank")
    chromium.get_log("browser")


def test_a_page_without_its_facts_says_so(site_copy: Path, chromium: Chrome) -> None:
    (site_copy / "site.json").unlink()
    server = SiteServer(site_copy)
    page = SitePage(chromium, server.url, wait=False)
    page.until(lambda: page.the("#problem").text)
    said = "The page cannot start: site.json is not there (404). Load it again."
    assert page.the("#problem").text == said
    chromium.get("about:blank")
    chromium.get_log("browser")
    server.close()
