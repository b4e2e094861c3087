"""The tab Flash of a site with an image."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from microgpt_board.image import image
from microgpt_board.image.names_bin import Source
from microgpt_board.site import images
from microgpt_board.site.build import FACTS

from tests.support.release import release
from tests.support.web.flash_tab import ESP32, opened
from tests.support.web.site import SiteServer

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.web.site_page import SitePage


@pytest.fixture(scope="module")
def flash_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, its manifest beside it."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "release.bin").write_bytes(release(ESP32))
    target = folder / "image.bin"
    image.write_image(target, ESP32, folder / "release.bin", Source(Path("data/names.txt")))
    return target


@pytest.fixture(scope="module")
def flash_folder(
    site_folder: Path, flash_image: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The site with that image."""
    folder = Path(shutil.copytree(site_folder, tmp_path_factory.mktemp("flash") / "site"))
    facts = json.loads((folder / FACTS).read_text())
    facts["images"] = images.copy([flash_image], folder)
    (folder / FACTS).write_text(json.dumps(facts))
    return folder


@pytest.fixture
def flash(chromium: "Chrome", flash_folder: Path) -> "Iterator[tuple[SitePage, SiteServer]]":
    """The tab Flash of the site with that image."""
    with opened(chromium, flash_folder) as page_and_site:
        yield page_and_site


@pytest.fixture
def flash_page(flash: "tuple[SitePage, SiteServer]") -> "SitePage":
    """The page."""
    return flash[0]


@pytest.fixture
def flash_site(flash: "tuple[SitePage, SiteServer]") -> SiteServer:
    """The server of the page."""
    return flash[1]
