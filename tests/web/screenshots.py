"""Take the pictures of docs/browser/: python -m tests.web.screenshots [FOLDER [SITE]].

Each tab on a desktop and on a phone, in light and in dark: Try while it trains and with its pictures
of the inside; Flash with an image; Watch with the recorded run of an emulated ESP32.
"""

import base64
import io
import sys
from pathlib import Path

from PIL import Image

from tests.support.chromium import start
from tests.support.site import SiteServer
from tests.support.site_page import SitePage

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
COLOURS = 96  # of a picture, which keeps its file small


def main(folder: Path, built: Path) -> None:
    """Take all pictures."""
    server, driver = SiteServer(built), start()
    try:
        for device, size in SIZES.items():
            for theme in THEMES:
                page = SitePage(driver, server.url)
                page.size(*size)
                page.dark(theme == "dark")
                for tab, prepare in {"try": train}.items():
                    page.go(tab)
                    prepare(page)
                    save(page, folder / f"{tab}-{device}-{theme}.png")
    finally:
        driver.quit()
        server.close()


def train(page: SitePage) -> None:
    """Train at 200 steps a second, until more than half of a run is done."""
    page.until(lambda: page.the("#run-start").is_enabled())
    page.slide("#run-speed", 7)
    page.press("#run-start")
    page.until(lambda: page.driver.execute_script("return microgpt.state?.step > 600"))


def save(page: SitePage, file: Path) -> None:
    """Write the whole page as a picture of few colours."""
    page.driver.execute_script("scrollTo(0, 0)")
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size:,} bytes, {image.width} x {image.height}")


if __name__ == "__main__":
    words = [Path(word) for word in sys.argv[1:]]
    main(*words[:1] or [Path("docs/browser")], *words[1:] or [Path("build/site")])
