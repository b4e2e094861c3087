"""The tab that watches a board sets its run: MicroPython itself is at its port."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from microgpt_board.emulation.micropython import build_virtual, find_micropython
from microgpt_board.errors import ToolError
from microgpt_board.image import names_bin
from microgpt_board.image.names_bin import Source
from microgpt_board.proof.replay import compare, read_run, replay

from tests.support.serial_board import MicroPythonBoard
from tests.support.web.site_serial import Terminal

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from tests.support.web.watch_tab import Tab

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.browser
NAMES = Path("data/names.txt")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flash of a board with the program and the names."""
    try:
        find_micropython()
    except ToolError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("flash")
    build_virtual(folder, names_bin.read(Source(NAMES)))
    return folder


@pytest.fixture
def board(tab: Tab, program: Path, tmp_path: Path) -> Iterator[MicroPythonBoard]:
    """A board that has trained 30 steps with seed 5, in MicroPython, at its prompt; connected."""
    flash = Path(shutil.copytree(program, tmp_path / "flash"))
    (flash / "ugpt.json").write_text(json.dumps({"seed": 5, "steps": 30}))
    board = MicroPythonBoard(flash)
    terminal = Terminal(board.port)
    tab.ports.plug("board", terminal)
    tab.page.the("#watch-connect").click()
    tab.until(lambda: tab.ports.opened("board"))
    yield board
    tab.ports.close()
    terminal.close()
    board.close()


def test_values_that_the_board_would_refuse_are_not_sent(tab: Tab) -> None:
    tab.connect()
    for name, value, wrong in (
        ("seed", "1.5", "seed must be a whole number from 0 to 4,294,967,295."),
        ("seed", "4294967296", "seed must be a whole number from 0 to 4,294,967,295."),
        ("seed", "-1", "seed must be a whole number from 0 to 4,294,967,295."),
        ("steps", "0", "steps must be a whole number from 1 to 1,000,000."),
        ("steps", "1e3", "steps must be a whole number from 1 to 1,000,000."),
        ("lr", "0,01", "lr must be a number from 0.000001 to 1."),
        ("lr", "2", "lr must be a number from 0.000001 to 1."),
        ("lr", "__import__('os')", "lr must be a number from 0.000001 to 1."),
    ):
        tab.page.fill(f"#watch-{name}", value)
        tab.page.the("#watch-start").click()
        tab.until(lambda name=name, wrong=wrong: tab.text(f"watch-{name}-error") == wrong)
        assert tab.page.the(f"#watch-{name}").get_attribute("aria-invalid") == "true"
        tab.page.driver.execute_script(
            "arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))",
            tab.page.the(f"#watch-{name}"),
        )
        assert tab.text(f"watch-{name}-error") == ""
    assert tab.line.received == b""


def test_a_board_is_told_what_to_train(tab: Tab, board: MicroPythonBoard, tmp_path: Path) -> None:
    tab.page.the("#watch-restart").click()
    tab.until(lambda: "seed 5" in tab.text("watch-run") and len(tab.names()) == 20)
    for name, value in (("seed", "7"), ("steps", "40"), ("lr", "0.02")):
        tab.page.fill(f"#watch-{name}", value)
    tab.page.the("#watch-start").click()
    tab.until(lambda: "seed 7" in tab.text("watch-run") and len(tab.names()) == 20)
    assert tab.text("watch-said") == ("The board was told to train with seed 7, steps 40, lr 0.02.")
    assert tab.text("watch-total") == "step 40 of 40"
    run = read_run(tab.save(0, tmp_path))
    assert (run.seed, run.steps, run.lr) == (7, 40, 0.02)
    assert all(comparison.agree for comparison in compare(run, replay(run, Source(NAMES), run.lr)))
    assert (board.flash / "checkpoint-1.bin").exists()  # the run with seed 5

    tab.page.fill("#watch-steps", "1000000")  # more of the same: until it is stopped
    tab.page.the("#watch-start").click()
    tab.until(lambda: int(tab.curve().split()[-1]) > 1000)
    assert tab.text("watch-total").endswith(" of 1,000,000")
    assert tab.text("watch-state") == "The board is training."
    tab.page.the("#watch-stop").click()
    tab.until(lambda: tab.text("watch-said") == "The board has stopped.")
    tab.until(lambda: "interrupted" in tab.page.texts("#watch-remark-list li"))
    tab.page.the("#watch-restart").click()
    tab.until(lambda: tab.text("watch-said") == "The board's program starts.")
    tab.until(lambda: "seed 5" in tab.text("watch-run"))  # as /ugpt.json has it


def test_what_the_board_says_of_a_command_that_fails(tab: Tab, board: MicroPythonBoard) -> None:
    (board.flash / "names.bin").write_bytes(b"x")
    tab.page.fill("#watch-seed", "9")
    tab.page.the("#watch-start").click()
    tab.until(lambda: tab.text("watch-said").startswith("The board says: DatasetError: "))
    shutil.rmtree(board.flash / "ugpt")
    tab.page.the("#watch-restart").click()
    tab.until(lambda: tab.text("watch-said") == "The board's program starts.")
    tab.page.the("#watch-start").click()
    tab.until(
        lambda: tab.text("watch-said").endswith("not the program: put it on in the tab Flash.")
    )
