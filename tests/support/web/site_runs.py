"""Runs in the site's tab Try, and the same runs of the virtual board on the computer."""

import re
from pathlib import Path

from tests.support.commands import microgpt_board
from tests.support.web.site_page import SitePage

# The page shows its log in the next frame; a frame that is asked for later comes after that one.
LOG = """return new Promise((done) =>
    requestAnimationFrame(() => done(document.getElementById("log").textContent)))"""
AS_FAST_AS_IT_GOES = 10  # the last place of the slider
DONE = "return microgpt.state?.phase === 'done'"


def timeless(lines: list[str]) -> list[str]:
    """Return the lines without what differs from machine to machine: times, free memory."""
    return [
        re.sub(r"(ms|free):\S+", r"\1:", re.sub(r"of [\d,]+ free", "of free", x)) for x in lines
    ]


def computer_log(folder: Path, *words: object) -> list[str]:
    """Return the log of `make run` with these options, in an empty folder."""
    ways = ("--flash", folder / "flash", "--runs", folder / "runs")
    result = microgpt_board("run", *words, *ways)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def begin(page: SitePage, speed: int = AS_FAST_AS_IT_GOES, **settings: object) -> None:
    """Fill in the settings and start a run at a place of the slider."""
    page.until(lambda: page.driver.execute_script("return microgpt.draft"))
    for name, value in settings.items():
        page.fill(f"#set-{name}", value)
    page.slide("#run-speed", speed)
    page.press("#run-start")


def until_step(page: SitePage, step: int) -> None:
    """Wait until so many steps are done."""
    page.until(lambda: page.driver.execute_script(f"return microgpt.state?.step >= {step}"))


def finish(page: SitePage) -> list[str]:
    """Wait until the run is over; return its log."""
    page.until(lambda: page.driver.execute_script(DONE))
    return log_of(page)


def log_of(page: SitePage) -> list[str]:
    """Return the lines of the log so far."""
    text: str = page.driver.execute_script(LOG)
    return text.splitlines()
