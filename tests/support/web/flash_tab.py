"""The tab Flash in Chromium, a board at its port, and what the page says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from microgpt_board.image import boards

from tests.support.rom_loader import RomLoader
from tests.support.web.site import SERIAL, SiteServer
from tests.support.web.site_serial import STUB, Terminal

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.web.site_page import SitePage

ESP32 = boards.find("ESP32_GENERIC")


class Board(Terminal):
    """A board on a USB port whose lines DTR and RTS reset it."""

    def __init__(self, loader: RomLoader) -> None:
        super().__init__(loader.port)
        self.loader = loader

    def signals(self, signals: dict[str, bool]) -> None:
        """As Device."""
        super().signals(signals)
        self.loader.signals(signals)


@contextmanager
def opened(chromium: "Chrome", folder: Path) -> "Iterator[tuple[SitePage, SiteServer]]":
    """Open the tab Flash of a site, with the stand-in for navigator.serial."""
    from tests.support.web.site_page import SitePage

    command = "Page.addScriptToEvaluateOnNewDocument"
    script = chromium.execute_cdp_cmd(command, {"source": STUB.read_text()})
    site = SiteServer(folder)
    page = SitePage(chromium, f"{site.url}#flash")
    try:
        yield page, site
        assert page.hosts() <= {site.host}
        log = chromium.get_log("browser")
        assert [entry for entry in log if not is_expected(entry)] == []
    finally:
        chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
        chromium.get("about:blank")
        site.close()


def is_expected(entry: dict[str, str]) -> bool:
    """Return whether ESP Web Tools printed it, or it is the stand-in's request for a port."""
    return entry["source"] == "console-api" or SERIAL in entry["message"]


@contextmanager
def plugged(site: SiteServer, **kind: object) -> Iterator[Board]:
    """Plug a board in; it is unplugged at the end, unless the test did so."""
    loader = RomLoader(**kind)  # type: ignore[arg-type]
    board = Board(loader)
    site.ports.plug("board", board)
    try:
        yield board
    finally:
        site.ports.close()
        board.close()
        loader.close()


def start(page: "SitePage") -> None:
    """Press the button, as a person does: a browser asks for a port only then."""
    page.until(lambda: page.the("#flash-start").is_enabled())
    page.the("#flash-start").click()


def until(page: "SitePage", condition: Callable[[], object]) -> None:
    """Wait for what takes as long as to compress a whole image twice, on a slow machine."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(page.driver, 150, 0.1).until(lambda _: condition())


def until_written(page: "SitePage") -> None:
    """Wait until the page has written the board, and gone on to Watch."""
    until(page, lambda: page.the("#watch").is_displayed())


def failure(page: "SitePage") -> str:
    """Wait for what the page says went wrong, and return it."""
    until(page, lambda: page.the("#flash-failure").is_displayed())
    page.until(lambda: page.the("#flash-start").is_enabled())
    assert not page.the("#flash-progress").is_displayed()
    return page.the("#flash-failure").text
