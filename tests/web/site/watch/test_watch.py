"""The tab that watches a board, in Chromium: recorded bytes and MicroPython itself at its port."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from microgpt_board.device import log
from microgpt_board.device.record import Recorder
from microgpt_board.device.serial_lines import LineSplitter
from microgpt_board.image.names_bin import Source
from microgpt_board.proof.replay import compare, read_run, replay

from tests.support.board_run import START, step
from tests.support.log_cases import CAPTURE
from tests.support.web.axe import violations
from tests.support.web.site import SiteServer

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from tests.support.web.site_page import SitePage
from tests.support.web.watch_tab import Tab

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser
NAMES = Path("data/names.txt")
LARGE = (
    b"# microgpt-esp32 0.2.0 board:esp32-1.24.0 kernels:native reason:self-check-passed seed:7 "
    b"parameters:14928 steps:21 data:9 vocab_size:30 n_embd:24 n_head:3 n_layer:2 tie_lm_head:1 "
    b"input_rmsnorm:0\r\n"
)
QUICK = "const slow = setTimeout; window.setTimeout = (f, ms) => slow(f, ms / 20);"


def recorded(data: bytes, root: Path) -> list[Path]:
    """The folders that the tools' recorder makes of these bytes, the first run first."""
    recorder = Recorder("/dev/ttyUSB0", root)
    for text in LineSplitter().feed(data):
        if event := log.parse(text):
            recorder.take(event)
    recorder.finish()
    return sorted(root.iterdir(), key=lambda path: (len(path.name), path.name))


def assert_same(ours: Path, theirs: Path) -> None:
    """The page's folder of a run is that of the recorder, but for when, where and by what."""
    about, wanted = (json.loads((folder / "run.json").read_text()) for folder in (ours, theirs))
    assert list(about) == list(wanted)
    for key in ("started", "port", "environment"):
        assert isinstance(about.pop(key), type(wanted.pop(key)))
    assert about == wanted
    assert (ours / "log.jsonl").read_bytes() == (theirs / "log.jsonl").read_bytes()


def test_a_board_that_is_reset_in_its_run(tab: Tab, tmp_path: Path) -> None:
    tab.connect()
    data = CAPTURE.read_bytes()
    at = data.index(b"step:500 ")
    for part in (data[:3000], data[3000:at]):
        tab.line.send(part)
    tab.until(lambda: tab.curve().endswith("step 490"))
    assert tab.text("watch-state") == "The board is training."
    assert tab.text("watch-total") == "step 491 of 1,000"
    assert tab.text("watch-figure-ms") == "10.5 ms"
    tab.line.send(data[at:])
    tab.until(lambda: tab.names() == ["araran", "alian"])
    assert tab.curve().endswith("step 999")
    assert tab.text("watch-state") == "The board has trained all steps of its run."
    remarks = tab.page.texts("#watch-remark-list li")
    assert remarks[0] == "resumed at step 61 of 1000 from checkpoint.bin"
    assert tab.runs() == ["seed 42 · step 1,000 of 1,000 · 2 names", "seed 42 · step 61 of 1,000"]
    theirs = recorded(data, tmp_path / "theirs")
    for row, folder in zip((1, 0), theirs, strict=True):
        ours = tab.save(row, tmp_path / "ours")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-esp32-1\.24\.0(-2)?", ours.name)
        assert_same(ours, folder)
        run = read_run(ours)
        assert all(
            comparison.agree for comparison in compare(run, replay(run, Source(NAMES), run.lr))
        )


def test_a_run_of_other_sizes_its_names_and_what_is_no_log(tab: Tab, tmp_path: Path) -> None:
    tab.connect()
    data = bytes(range(256)) * 9 + b"\r\n" + LARGE + step(0, float("nan")) + step(10) + step(20)
    names = ["Zürich  \U0001f43f", "<b>bold</b>&amp;", "ירושלים", "", r"a\x1bb"]
    data += "".join(f"name:{name}\r\n" for name in names).encode()
    data += b"# <img src=x onerror=alert(1)> \x1b[2J \xff\r\n# error: \xe2\x80\xaeno memory\r\n"
    data += b"name:Z\xc3\r\nname:" + b"x" * 17 + b"\r\nname:Gen\x1b[2J\r\nname:half"
    tab.line.send(data)
    tab.until(lambda: len(tab.names()) == 5)
    assert tab.names() == [name or "nothing" for name in names]
    assert tab.page.texts("#watch-remark-list li") == [
        r"<img src=x onerror=alert(1)> \x1b[2J \xff",
        r"error: \u202eno memory",
    ]
    tab.page.press("#watch-all summary")
    tab.until(lambda: r"name:Gen\x1b[2J" in tab.text("watch-log"))
    (theirs,) = recorded(data, tmp_path / "theirs")
    ours = tab.save(0, tmp_path / "ours")
    assert_same(ours, theirs)
    assert json.loads((ours / "log.jsonl").read_text().splitlines()[0])["loss"] is None


def test_a_run_that_is_joined_half_way(tab: Tab, tmp_path: Path) -> None:
    tab.connect()
    data = b"123 lr:0.00100 ms:3.1 free:9\r\n" + step(110) + step(120) + b"name:jo\r\n# saved\r\n"
    tab.line.send(data)
    tab.until(lambda: tab.curve().endswith("step 120"))
    assert tab.runs()[0].startswith("joined after its start · step 121")
    (theirs,) = recorded(data, tmp_path / "theirs")
    assert_same(tab.save(0, tmp_path / "ours"), theirs)


def test_unplugged_and_plugged_in_again(tab: Tab, tmp_path: Path) -> None:
    tab.connect()
    tab.line.send(START + step(0) + b"step:10 loss:2.")
    tab.until(lambda: tab.curve().endswith("step 0"))
    tab.ports.unplug("board")
    tab.until(lambda: tab.text("watch-state").startswith("The board is gone. Plug it in again"))
    tab.plug()
    tab.until(lambda: tab.ports.opened("board"))
    tab.line.send(step(20))
    tab.until(lambda: tab.curve().endswith("step 20"))
    assert len(tab.runs()) == 1
    log_lines = (tab.save(0, tmp_path) / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log_lines] == [0, 20]


def test_noise_on_the_line_does_not_end_the_reading(tab: Tab) -> None:
    tab.connect()
    tab.line.send(START + step(0))
    tab.until(lambda: tab.curve().endswith("step 0"))
    for number, kind in enumerate(("FramingError", "BreakError", "BufferOverrunError"), 1):
        tab.ports.fault("board", kind)

        def heard(remark: str = f"after {kind}") -> bool:
            """Send a remark until it is heard: the error may come after it."""
            tab.line.send(f"# {remark}\r\n".encode())
            return remark in tab.page.texts("#watch-remark-list li")

        tab.until(heard)
        tab.line.send(step(10 * number))
        tab.until(lambda number=number: tab.curve().endswith(f"step {10 * number}"))
    assert len(tab.runs()) == 1


def test_disconnected_and_connected_again(tab: Tab) -> None:
    tab.connect()
    tab.line.send(START + step(0))
    tab.until(lambda: tab.curve().endswith("step 0"))
    tab.page.the("#watch-disconnect").click()
    tab.until(lambda: not tab.ports.opened("board"))
    # RTS first: the other way round would reset the board
    assert tab.line.lines == [{"requestToSend": False}, {"dataTerminalReady": False}]
    tab.until(lambda: tab.text("watch-state") == "No board is connected.")
    assert tab.page.the("#watch-curve").is_displayed()
    tab.page.the("#watch-connect").click()
    tab.until(lambda: tab.ports.opened("board"))
    tab.line.send(step(10))
    tab.until(lambda: len(tab.runs()) == 2)


def test_a_port_that_is_asked_for_twice_is_opened_once(tab: Tab) -> None:
    tab.connect()
    tab.line.send(START + step(0))
    tab.until(lambda: tab.curve().endswith("step 0"))
    script = """
        for (const name of ["disconnect", "connect", "connect"])
          document.getElementById(`watch-${name}`).click();"""
    tab.page.driver.execute_script(script)
    tab.until(lambda: len(tab.ports.options("board")) == 3 and tab.ports.opened("board"))
    tab.line.send(START + step(10))
    tab.until(lambda: tab.curve().endswith("step 10"))
    assert (len(tab.runs()), tab.text("watch-error")) == (2, "")
    tab.page.the("#watch-disconnect").click()
    tab.until(lambda: not tab.ports.opened("board"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everyone_can_use_it_while_a_board_trains(tab: Tab, dark: bool) -> None:
    tab.connect()
    word = "x" * 300  # a remark without a blank
    tab.line.send(START + step(0) + b"name:anna\r\n# error: " + word.encode() + b"\r\n" + LARGE)
    tab.line.send(step(0) + b"# resumed\r\n# error: no memory\r\n# " + word.encode() + b"\r\n")
    tab.until(lambda: word in tab.page.texts("#watch-remark-list li"))
    tab.page.press("#watch-all summary")
    tab.page.press(".watch-board summary")
    tab.page.fill("#watch-lr", "no")
    tab.page.press("#watch-start")
    tab.until(lambda: tab.text("watch-lr-error"))
    tab.page.dark(dark)
    script = "return document.documentElement.scrollWidth"
    for width in (1280, 768, 360):
        tab.page.size(width, 800)
        tab.until(lambda width=width: tab.page.driver.execute_script(script) <= width)
        assert violations(tab.page.driver) == []


def test_no_port_is_chosen_or_it_cannot_be_opened(tab: Tab) -> None:
    tab.page.the("#watch-connect").click()
    tab.until(lambda: tab.text("watch-error") == "No port was chosen.")
    tab.plug()
    tab.page.driver.execute_script("StubPort.busy = true")
    tab.page.the("#watch-connect").click()
    tab.until(lambda: "another program or another tab uses it" in tab.text("watch-error"))
    tab.page.driver.execute_script("StubPort.busy = false")
    tab.page.the("#watch-connect").click()
    tab.until(lambda: tab.ports.opened("board") and tab.text("watch-error") == "")


def test_a_board_that_says_nothing(tab: Tab) -> None:
    tab.page.driver.execute_script(QUICK)
    tab.connect()
    tab.until(lambda: "has sent nothing for a while" in tab.text("watch-state"))
    tab.page.the("#watch-start").click()
    tab.until(lambda: tab.text("watch-said").startswith("The board does not answer: press its"))
    assert bytes(tab.line.received).startswith(b"\r\x03\r\x01")
    tab.line.send(START + step(0))
    tab.until(lambda: tab.text("watch-state") == "The board is training.")


def test_a_thousand_lines_at_once(tab: Tab) -> None:
    tab.connect()
    start = START.replace(b"steps:21", b"steps:5000")
    tab.line.send(start + b"".join(step(number) for number in range(5000)))
    tab.until(lambda: tab.curve().endswith("step 4999"))
    assert tab.text("watch-total") == "step 5,000 of 5,000"


def test_where_web_serial_is_missing(chromium: "Chrome", site: SiteServer) -> None:
    command = "Page.addScriptToEvaluateOnNewDocument"
    for secure, said in (("true", "it has no Web Serial. Chrome, Edge"), ("false", "over https")):
        source = (
            "delete Navigator.prototype.serial; Object.defineProperty(window, 'isSecureContext', "
            f"{{ value: {secure} }});"
        )
        script = chromium.execute_cdp_cmd(command, {"source": source})
        page = SitePage(chromium, f"{site.url}#watch")
        chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
        assert said in page.the("#watch-unable").text
        assert not page.the("#watch-cards").is_displayed()
        page.check(site.host)
        chromium.get("about:blank")
