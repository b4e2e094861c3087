"""The tab Watch in a browser whose serial ports are the test's."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

from tests.support.web.site import SiteServer
from tests.support.web.site_page import SitePage
from tests.support.web.site_serial import STUB, Line

SAVED = """
    const done = arguments[1];
    const create = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
      URL.createObjectURL = create;
      blob.arrayBuffer().then((data) => done([...new Uint8Array(data)]));
      return "#watch";
    };
    document.querySelectorAll("#watch-run-list button")[arguments[0]].click();"""


class Tab:
    """The tab Watch; `ports` are those of the computer that it believes to be on."""

    def __init__(self, page: SitePage, site: SiteServer) -> None:
        self.page = page
        self.ports = site.ports
        self.line = Line()  # a board at the port "board", once it is plugged in

    def plug(self) -> None:
        """Plug in a board that sends what the test says."""
        self.ports.plug("board", self.line)

    def connect(self) -> None:
        """Plug the board in and press the button, without which a browser asks for no port."""
        self.plug()
        self.page.the("#watch-connect").click()
        self.until(lambda: self.ports.opened("board"))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something; say what the tab shows if it does not come."""
        try:
            self.page.until(condition)
        except Exception as error:
            raise AssertionError(self.text("watch")) from error

    def text(self, name: str) -> str:
        """What an element shows."""
        found: str = self.page.the(f"#{name}").text
        return found

    def curve(self) -> str:
        """What the curve is, in words."""
        return str(self.page.the("#watch-curve").get_attribute("aria-label"))

    def names(self) -> list[str]:
        """The names that are shown."""
        return self.page.texts("#watch-names li")

    def runs(self) -> list[str]:
        """What is said of each run, the latest first."""
        return self.page.texts("#watch-run-list .quiet")

    def save(self, row: int, folder: Path) -> Path:
        """Save the run in a row of the list, and unzip it; return its folder."""
        data = bytes(self.page.driver.execute_async_script(SAVED, row))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(folder)
            return folder / archive.namelist()[0].partition("/")[0]


@contextmanager
def opened(chromium: webdriver.Chrome, site: SiteServer) -> Iterator[Tab]:
    """Open the tab; afterwards the page must have asked one host, and complained of nothing."""
    command = "Page.addScriptToEvaluateOnNewDocument"
    script = chromium.execute_cdp_cmd(command, {"source": STUB.read_text()})
    page = SitePage(chromium, f"{site.url}#watch")
    try:
        yield Tab(page, site)
        page.check(site.host)
    finally:
        chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
        chromium.get("about:blank")
