"""The page in Chromium writes a board, with esptool-js and a stand-in for the loader in its ROM."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from microgpt_board.image import image
from microgpt_board.image.names_bin import Source
from microgpt_board.site import images

from tests.support.rom_loader import ESP32_S2
from tests.support.web.axe import violations
from tests.support.web.flash_tab import ESP32, failure, opened, plugged, start, until, until_written
from tests.support.web.site import SiteServer
from tests.support.web.site_serial import Line

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.web.site_page import SitePage

SMALL_FLASH = 0x154020  # 2 MB
FAST, SLOW = 460800, 115200
IMAGE = f"{images.FOLDER}/{ESP32.name}/image.bin"


def test_the_flash_is_the_image_and_the_page_goes_on_to_watch(
    flash_page: "SitePage", flash_site: SiteServer, flash_image: Path
) -> None:
    with plugged(flash_site) as board:
        start(flash_page)
        until_written(flash_page)
        assert board.loader.flash == flash_image.read_bytes()
        assert board.loader.has_stub or board.loader.running
        assert set(board.loader.bauds) == {FAST}
        assert board.loader.starts >= 1  # it was reset, and not into download mode
        said = flash_page.the("#flash-state").get_attribute("textContent")
        assert said == "The board is written, and starts."
        log = flash_page.the("#flash-log").get_attribute("textContent")
        assert "Hash of data verified." in log
        flash_page.until(lambda: flash_site.ports.opened("board"))
        assert flash_site.ports.options("board")[-1]["baudRate"] == SLOW
        board.loader.say(b"step:0 loss:3.3678 mean:3.3678 lr:0.01000 ms:9.1 free:81234\r\n")
        flash_page.until(lambda: "3.3678" in flash_page.the("#watch").text)


def test_a_write_that_fails_is_tried_again_slower(
    flash_page: "SitePage", flash_site: SiteServer, flash_image: Path
) -> None:
    with plugged(flash_site, fails_above=SLOW) as board:
        flash_page.press("#flash-erase")
        start(flash_page)
        until_written(flash_page)
        assert set(board.loader.bauds) == {FAST, SLOW}
        assert board.loader.erased == 2
        assert board.loader.flash == flash_image.read_bytes()


def test_a_write_that_fails_again(flash_page: "SitePage", flash_site: SiteServer) -> None:
    with plugged(flash_site, fails_above=1):
        start(flash_page)
        said = failure(flash_page)
    assert said.startswith("Writing failed: Failed to write compressed data to flash")
    assert "another USB cable" in said


def test_a_flash_that_keeps_other_bytes(flash_page: "SitePage", flash_site: SiteServer) -> None:
    with plugged(flash_site, worn=True):
        start(flash_page)
        assert failure(flash_page).startswith("Writing failed: MD5 of file does not match")


def test_a_board_of_another_chip(flash_page: "SitePage", flash_site: SiteServer) -> None:
    with plugged(flash_site, magic=ESP32_S2) as board:
        start(flash_page)
        said = failure(flash_page)
        assert said.startswith("This board has the chip ESP32-S2; the image is for ESP32. Nothing")
        assert not any(board.loader.flash)
    assert violations(flash_page.driver) == []


def test_a_board_with_too_small_a_flash(flash_page: "SitePage", flash_site: SiteServer) -> None:
    with plugged(flash_site, flash_id=SMALL_FLASH) as board:
        flash_page.press("#flash-erase")
        start(flash_page)
        said = failure(flash_page)
        assert said.startswith("The flash of this board is too small: it must have 4 MB. Nothing")
        assert not any(board.loader.flash)
        assert not flash_site.ports.opened("board")


def test_a_board_that_is_not_in_download_mode(
    flash_page: "SitePage", flash_site: SiteServer
) -> None:
    with plugged(flash_site, awake=False) as board:
        start(flash_page)
        said = failure(flash_page)
        assert said.startswith("No ESP32 answers at this port.")
        assert "Hold the button BOOT" in said
        board.loader.awake = True
        start(flash_page)  # with BOOT held
        until(flash_page, lambda: board.loader.bauds)


def test_no_port_is_chosen(flash_page: "SitePage", flash_site: SiteServer) -> None:
    assert flash_site.ports.chosen is None
    assert not flash_page.the("#flash-hints").is_displayed()
    start(flash_page)
    assert failure(flash_page).startswith("No port was chosen.")
    assert "cable" in flash_page.the("#flash-hints").text


def test_a_port_that_another_program_has(flash_page: "SitePage", flash_site: SiteServer) -> None:
    with plugged(flash_site):
        flash_page.driver.execute_script("StubPort.busy = true")
        start(flash_page)
        said = failure(flash_page)
        assert said.startswith("The port cannot be opened.")
        assert "Close what else uses the board" in said


def test_a_board_that_is_unplugged_half_way_and_plugged_in_again(
    flash_page: "SitePage", flash_site: SiteServer, flash_image: Path
) -> None:
    with plugged(flash_site, silent_after=5) as board:
        start(flash_page)
        until(flash_page, lambda: len(board.loader.bauds) > 5)
        assert flash_page.the("#flash-state").text.startswith("Writing")
        flash_site.ports.unplug("board")
        said = failure(flash_page)
        assert said.startswith("The board was unplugged before everything was written.")
        board.loader.silent_after = None
        flash_site.ports.plug("board", board)
        start(flash_page)
        until_written(flash_page)
        assert board.loader.flash == flash_image.read_bytes()


def test_watch_does_not_take_the_port_for_the_board_that_it_waits_for(
    flash_page: "SitePage", flash_site: SiteServer, flash_image: Path
) -> None:
    flash_site.ports.plug("first", Line())
    flash_page.the("#tab-watch").click()
    flash_page.the("#watch-connect").click()
    # The port is open before the page reads from it.
    flash_page.until(lambda: "is connected" in flash_page.the("#watch-state").text)
    flash_site.ports.unplug("first")
    flash_page.until(lambda: "Plug it in again" in flash_page.the("#watch-state").text)
    flash_page.the("#tab-flash").click()
    flash_site.ports.chosen = "board"
    with plugged(flash_site) as board:
        flash_site.held = {IMAGE}
        start(flash_page)
        flash_page.until(lambda: flash_site.paths[-1] == IMAGE)
        look = """
            navigator.serial.dispatchEvent(new Event("connect"));
            navigator.serial.getPorts().then(arguments[0]);"""
        for _ in range(3):  # time enough to open it
            assert len(flash_page.driver.execute_async_script(look)) == 1
        assert not flash_site.ports.opened("board")
        flash_site.held = set()
        until_written(flash_page)
        assert board.loader.flash == flash_image.read_bytes()


def test_an_image_that_is_damaged_is_not_written(
    chromium: "Chrome", flash_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(flash_folder, tmp_path / "site"))
    path = folder / "images" / ESP32.name / "image.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with opened(chromium, folder) as (page, site), plugged(site) as board:
        start(page)
        assert "The image of ESP32_GENERIC on this site is damaged" in failure(page)
        assert not board.loader.bauds


def own(page: "SitePage", text: str, **sizes: int) -> None:
    """Enter own documents and sizes in the tab Try, and choose them in the tab Flash."""
    page.press("#list-own")
    script = """
        const [field, value] = arguments;
        field.value = value;
        field.dispatchEvent(new Event("input", {bubbles: true}));"""
    page.driver.execute_script(script, page.the("#data-text"), text)
    for name, value in sizes.items():
        page.driver.execute_script(script, page.the(f"#set-{name}"), str(value))
    page.press("#flash-own")


def test_own_documents_and_sizes_are_written_as_the_tool_writes_them(
    flash_page: "SitePage", flash_site: SiteServer, flash_image: Path, tmp_path: Path
) -> None:
    text = "Zoë\nAnaïs\nGenève-sur-le-lac-de-Genève\n"
    own(flash_page, text, n_embd=12, n_head=3, block_size=32)
    expected = (
        "Own text: 3 documents, 160 of 786,432 bytes. Settings: Width 12, Heads 3, Positions 32."
    )
    flash_page.until(lambda: flash_page.the("#flash-summary").text == expected)
    with plugged(flash_site) as board:
        start(flash_page)
        until_written(flash_page)
        written = bytes(board.loader.flash)
    names = tmp_path / "own.txt"
    names.write_text(text, encoding="utf-8")
    image.write_image(
        tmp_path / "image.bin",
        ESP32,
        flash_image.with_name("release.bin"),
        Source(names, block_size=32),
        {"n_embd": 12, "n_head": 3, "block_size": 32},
    )
    assert written == (tmp_path / "image.bin").read_bytes()


def test_what_does_not_fit_the_board_is_refused_before_anything_is_asked(
    flash_page: "SitePage",
) -> None:
    def refusal() -> str:
        return flash_page.the("#flash-refusal").text

    own(flash_page, "emma\n" * 50_000)
    expected = "The documents take 800,048 bytes, the board has room for 786,432: use fewer"
    flash_page.until(lambda: refusal().startswith(expected))
    assert not flash_page.the("#flash-start").is_enabled()
    own(flash_page, "emma\n", n_embd=64)
    expected = "For ESP32_GENERIC, the model needs "
    flash_page.until(lambda: refusal().startswith(expected) and "are free: the tab" in refusal())
    assert violations(flash_page.driver) == []
    assert not flash_page.the("#flash-start").is_enabled()
    own(flash_page, "emma\n", n_embd=63)
    flash_page.until(lambda: "no documents or settings" in refusal())  # n_head divides it not
    own(flash_page, "emma\n", n_embd=8)
    flash_page.until(lambda: not refusal() and flash_page.the("#flash-start").is_enabled())
    flash_page.press("#flash-built")
    flash_page.until(lambda: flash_page.the("#flash-summary").text == "")


def test_a_browser_without_web_serial(chromium: "Chrome", flash_folder: Path) -> None:
    from tests.support.web.site_page import SitePage

    site = SiteServer(flash_folder)
    source = {"source": "delete Navigator.prototype.serial"}
    script = chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    page = SitePage(chromium, f"{site.url}#flash")
    assert page.the("#flash-unable").text.startswith("This browser cannot write a board")
    assert "Chrome, Edge" in page.the("#flash-unable").text
    assert not page.the("#flash-start").is_enabled()
    chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    page.check(site.host)
    site.close()
