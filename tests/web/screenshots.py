"""Take the pictures of docs/browser/: python -m tests.web.screenshots [FOLDER [TAB ...]].

Each tab on a desktop and on a phone, in light and in dark: Try while it trains, with pictures of
the model's inside; Flash with an image; Watch with the recorded run of an emulated ESP32. try.png,
for the README, is what a window shows.
"""

import base64
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from microgpt_board.image import boards, image
from microgpt_board.image.names_bin import Source
from microgpt_board.site import build
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

from tests.support.log_cases import CAPTURE
from tests.support.release import release
from tests.support.web.chromium import start
from tests.support.web.site import SiteServer
from tests.support.web.site_page import SitePage
from tests.support.web.site_runs import begin, until_step
from tests.support.web.site_serial import STUB, Line

FOLDER = Path("docs/browser")
SIZES = {"desktop": (1280, 1000), "phone": (390, 844)}
COLOURS = 256  # of a picture, which keeps its file small


def try_it(page: SitePage, server: SiteServer) -> None:
    """Train at 200 steps a second, until more than half of a run is done; look inside."""
    begin(page, speed=7)
    page.driver.execute_script("document.getElementById('inside').scrollIntoView()")
    until_step(page, 600)
    page.until(lambda: page.the("#inside-pictures").is_displayed())


def flash(page: SitePage, server: SiteServer) -> None:
    """Wait for the image that can be written."""
    page.until(lambda: page.the("#flash-start").is_enabled())


def watch(page: SitePage, server: SiteServer) -> None:
    """Connect a board, and let it send what an emulated one has sent."""
    line = Line()
    server.ports.plug("board", line)
    page.the("#watch-connect").click()
    page.until(lambda: server.ports.opened("board"))
    line.send(CAPTURE.read_bytes())
    page.until(lambda: page.texts("#watch-names li"))
    ActionChains(page.driver).move_to_element(page.the("#version")).perform()  # off the button


TABS = {"try": try_it, "flash": flash, "watch": watch}


def main(folder: Path, tabs: list[str]) -> None:
    """Take the pictures of these tabs."""
    with tempfile.TemporaryDirectory() as scratch:
        site = built(Path(scratch))
        for tab, (device, size), theme in product(tabs or TABS, SIZES.items(), ("light", "dark")):
            with opened(site) as (page, server):
                page.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
                page.size(*size)
                page.dark(theme == "dark")
                page.go(tab)
                TABS[tab](page, server)
                if (tab, device, theme) == ("try", "desktop", "light"):
                    save(page, folder / "try.png", whole=False)
                save(page, folder / f"{tab}-{device}-{theme}.png")


def built(scratch: Path) -> Path:
    """Build a site with an image for a board, whose MicroPython is a stand-in."""
    board = boards.find(boards.DEFAULT)
    firmware, file, site = scratch / "release.bin", scratch / "image.bin", scratch / "site"
    firmware.write_bytes(release(board))
    image.write_image(file, board, firmware, Source(Path("data/names.txt")))
    build.build(site, (file,))
    return site


@contextmanager
def opened(site: Path) -> Iterator[tuple[SitePage, SiteServer]]:
    """A page of the site, in a Chromium of its own."""
    server, driver = SiteServer(site), start()
    source = {"source": STUB.read_text()}
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    try:
        yield SitePage(driver, server.url), server
    finally:
        driver.quit()
        server.close()


def save(page: SitePage, file: Path, whole: bool = True) -> None:
    """Write the whole page, or what is seen of it in the window, as a picture of few colours."""
    page.driver.execute_script("scrollTo({ top: 0, behavior: 'instant' })")
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    way = Image.Quantize.MAXCOVERAGE  # keeps rare colours, such as that of a badge
    few = picture.quantize(COLOURS, way, kmeans=2, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    print(f"{file}: {file.stat().st_size:,} bytes, {picture.width} x {picture.height}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, sys.argv[2:])
