"""The site in a real Firefox: the same log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("websocket", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need websocket-client
from tests.support.web import firefox as browser
from tests.support.web.site import SiteServer
from tests.support.web.site_runs import DONE, LOG, computer_log, timeless


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Firefox]:
    """A Firefox for all tests of this file."""
    if not browser.FIREFOX:
        pytest.skip("needs Firefox: on Debian, apt install firefox-esr")
    firefox = browser.Firefox(tmp_path_factory.mktemp("firefox"))
    yield firefox
    firefox.close()


def said(script: str) -> str:
    """Return a script of Selenium as an expression."""
    return f"(() => {{ {script} }})()"


def test_a_run_in_firefox_has_the_log_of_the_virtual_board(
    firefox: browser.Firefox, site: SiteServer, tmp_path: Path
) -> None:
    firefox.open(site.url)
    firefox.until("globalThis.microgpt?.draft")
    firefox.evaluate("""(() => {
        for (const [id, value] of [["set-steps", "300"], ["set-seed", "7"], ["run-speed", "10"]]) {
          const field = document.getElementById(id);
          field.value = value;
          field.dispatchEvent(new Event("input", { bubbles: true }));
          field.dispatchEvent(new Event("change", { bubbles: true }));
        }
        document.getElementById("run-start").click();
    })()""")
    firefox.until(said(DONE))
    log = firefox.evaluate(said(LOG)).splitlines()
    expected = computer_log(tmp_path, "--steps", 300, "--seed", 7)
    assert timeless(log) == timeless(expected)
    firefox.until("!document.getElementById('inside-pictures').hidden")
    assert firefox.errors == []
    hosts = {url.split("/")[2] for url in firefox.urls if url.startswith("http")}
    assert hosts == {site.host}
