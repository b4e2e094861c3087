"""Try: the board's program trains in the tab, at the speed that a person asks for."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from microgpt.data import NAMES

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")

# ruff: noqa: E402 - imports that need Selenium
from tests.support.web.site import SiteServer
from tests.support.web.site_page import SitePage
from tests.support.web.try_page import Try


def test_one_press_of_start_shows_the_board_learn(trying: Try) -> None:
    page = trying.page
    assert trying.text("#run-hint") == "Press Start: the loss of each step is drawn here."
    trying.press_start()
    page.until(lambda: trying.phase() == "Training" and trying.step() > 120)
    assert trying.text("#run-start") == "Pause"
    assert not trying.shown("#run-hint")
    label = page.the("#run-curve").get_attribute("aria-label") or ""
    assert re.fullmatch(r"this run: mean loss \d\.\d{3} at step \d+", label)
    assert re.fullmatch(r"\d\.\d{4}", trying.text("#figure-loss"))
    assert 2 < float(trying.text("#figure-mean")) < 3.4
    assert float(trying.text("#figure-lr")) < 0.0095
    assert re.fullmatch(r"\d\.\d\d ms", trying.text("#figure-ms"))
    assert trying.text("#figure-kernels") == "native"
    assert page.texts("#names-now li")
    assert page.texts("#names-before .at")[0] == "0 steps"
    assert trying.log()[0].startswith("# microgpt-esp32 ")
    trying.fastest()
    trying.until_phase("Done")
    assert trying.text("#figure-step") == "1,000 of 1,000"
    page.until(lambda: len(page.texts("#names-now li")) == 20)
    names = [line[5:] for line in trying.log() if line.startswith("name:")]
    assert page.texts("#names-now li") == names
    known = set(NAMES.read_text().split())
    assert page.texts("#names-now .known") == [name for name in names if name in known]
    new = sum(name not in known for name in names)
    assert trying.text("#names-new") == f"{new} of 20 not in the list"
    assert trying.text("#run-start") == "Start again"


def test_pause_go_on_step_and_stop(trying: Try) -> None:
    page = trying.page
    trying.press_start()
    page.until(lambda: trying.phase() == "Training" and trying.step() > 5)
    trying.press_start()
    trying.until_phase("Paused")
    at = trying.step()
    for more in (1, 2, 3):
        page.press("#run-step")
        page.until(lambda more=more: trying.step() == at + more)
    assert trying.phase() == "Paused"
    curve = page.the("#run-curve")
    page.until(lambda: f"step {at + 2}" in str(curve.get_attribute("aria-label")))
    assert trying.text("#run-start") == "Go on"
    trying.press_start()
    page.until(lambda: trying.step() > at + 10)
    page.press("#run-stop")
    trying.until_phase("Stopped")
    assert not page.the("#run-step").is_enabled()
    assert trying.text("#run-start") == "Start again"
    before = trying.weights()
    trying.fastest()
    trying.press_start()
    trying.until_phase("Done")
    assert trying.step() == 1000
    assert not np.array_equal(before, trying.weights())


def test_step_alone_begins_a_run(trying: Try) -> None:
    trying.page.press("#run-step")
    trying.page.until(lambda: trying.phase() == "Paused" and trying.step() == 1)
    assert trying.log()[-1].startswith("step:0 ")


def test_a_run_that_was_paused_ends_at_the_same_model(trying: Try) -> None:
    trying.fastest()
    trying.press_start()
    trying.until_phase("Done")
    names, weights = trying.page.texts("#names-now li"), trying.weights()
    trying.speed(7)
    trying.press_start()
    trying.page.until(lambda: trying.phase() == "Training" and trying.step() > 20)
    trying.press_start()
    trying.until_phase("Paused")
    for _ in range(5):
        trying.page.press("#run-step")
    trying.fastest()
    trying.press_start()
    trying.until_phase("Done")
    trying.page.until(lambda: trying.page.texts("#names-now li") == names)
    assert np.array_equal(weights, trying.weights())


def test_slow_is_slow_enough_to_watch(trying: Try) -> None:
    page = trying.page
    trying.speed(2)
    assert trying.text("#run-speed-said") == "5 steps a second"
    assert page.the("#run-speed").get_attribute("aria-valuetext") == "5 steps a second"
    trying.press_start()
    page.until(lambda: trying.phase() == "Training" and trying.step() >= 2)
    script = """
        const done = arguments[0];
        const at = () => Number(document.getElementById("figure-step").textContent.split(" ")[0]);
        const [first, begin] = [at(), performance.now()];
        const look = () => {
          if (at() >= first + 8) done(performance.now() - begin);
          else requestAnimationFrame(look);
        };
        look();"""
    assert page.driver.execute_async_script(script) > 1000
    trying.fastest()
    trying.until_phase("Done")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", "0", "Steps must be a whole number from 1 to 1,000,000"),
        (
            "steps",
            "1,000",
            "Steps must be a whole number from 1 to 1,000,000, written without commas",
        ),
        ("lr", "0,01", "Learning rate must be a number from 0.000001 to 1, written without commas"),
        ("seed", "x", "Seed must be a whole number from 0 to 4,294,967,295"),
        ("n_head", "3", "Width 16 cannot be shared by 3 heads: the nearest widths are 15 and 18"),
        ("block_size", "300", "Positions must be a whole number from 16 to 256"),
        ("temperature", "", "Temperature must be a number from 0 to 100"),
    ],
)
def test_an_impossible_setting_is_named_and_the_run_stays(
    trying: Try, name: str, value: str, message: str
) -> None:
    page = trying.page
    trying.press_start()
    page.until(lambda: trying.phase() == "Training" and trying.step() > 2)
    trying.press_start()
    trying.until_phase("Paused")
    at, weights = trying.step(), trying.weights()
    page.fill(f"#set-{name}", value)
    if not value:
        page.driver.execute_script("arguments[0].select()", page.the(f"#set-{name}"))
        page.the(f"#set-{name}").send_keys("\ue003")
    page.until(lambda: trying.text("#settings-error") == message)
    assert page.the(f"#set-{name}").get_attribute("aria-invalid") == "true"
    page.press("#run-stop")
    trying.press_start()
    page.until(lambda: message in trying.text("#run-error"))
    assert trying.text("#run-error") == f"Not started: {message}; the run before is still here."
    assert page.driver.switch_to.active_element.get_attribute("aria-invalid") == "true"
    assert trying.step() == at
    assert np.array_equal(trying.weights(), weights)


def test_the_log_is_downloaded_whole(trying: Try, tmp_path: Path) -> None:
    page = trying.page
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.press("#settings .more summary")
    trying.set("log_every", 1)
    trying.run_to_the_end(600)
    page.press("#log-download")
    target = tmp_path / "microgpt-seed-42.log"
    page.until(lambda: target.exists() and target.read_text().count("name:") == 20)
    lines = target.read_text().splitlines()
    assert [line.split()[0] for line in lines if line.startswith("step:")] == [
        f"step:{i}" for i in range(600)
    ]
    assert trying.log()[-20:] == lines[-20:]
    assert re.fullmatch(r"\(\d+ lines before these are in the download\)", trying.log()[0])


def test_the_page_is_never_blocked_while_it_trains(trying: Try) -> None:
    script = """
        const done = arguments[0];
        let [last, worst] = [performance.now(), 0];
        const timer = setInterval(() => {
          const now = performance.now();
          worst = Math.max(worst, now - last);
          last = now;
          if (document.getElementById("run-phase").textContent === "Done") {
            clearInterval(timer);
            done(worst);
          }
        }, 5);
        document.getElementById("run-start").click();"""
    trying.fastest()
    assert trying.page.driver.execute_async_script(script) < 300


def test_a_board_that_cannot_be_loaded_is_said_and_tried_again(
    site_copy: Path, chromium: Any
) -> None:
    program = (site_copy / "program.json").read_text()
    (site_copy / "program.json").unlink()
    server = SiteServer(site_copy)
    try:
        page = SitePage(chromium, server.url)
        page.until(lambda: "program.json" in page.the("#fits-figures").text)
        page.press("#run-start")
        page.until(lambda: "Not started: program.json" in page.the("#run-error").text)
        (site_copy / "program.json").write_text(program)
        page.press("#run-start")
        page.until(lambda: page.the("#run-phase").text == "Training")
        assert page.the("#run-error").text == ""
    finally:
        chromium.get("about:blank")
        server.close()


def test_a_run_that_fails_says_so_and_another_can_begin(trying: Try) -> None:
    page = trying.page
    trying.run_to_the_end(5)
    assert trying.load("{ weights: now.weights.fill(NaN) }") == ""
    trying.press_start()
    trying.until_phase("Failed")
    said = "The board's program has stopped: the loss of step 0 is not a number"
    assert trying.text("#run-error").startswith(said)
    assert trying.log()[-1].startswith("# error: the loss of step 0 is not a number")
    assert not page.the("#run-step").is_enabled()
    trying.press_start()
    trying.until_phase("Done")
    assert trying.text("#run-error") == ""
