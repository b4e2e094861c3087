"""The page: the recorded runs and the chart of their losses."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.board_run import BoardRun

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium.webdriver.common.by import By

from tests.support.web.page import Page


def test_the_curve_of_a_run_grows_while_it_is_recorded(page: Page, runs_folder: Path) -> None:
    old, now = BoardRun(runs_folder, seed=1), BoardRun(runs_folder, seed=2)
    old.train(range(900))
    old.finish()
    now.train(range(100))

    def last(run: BoardRun) -> int | None:
        """The last step of a run that is drawn, None if the run is not."""
        label = page.the("#curve").get_attribute("aria-label")
        start = f"{run.folder.name}: mean loss "
        drawn = [part.split()[-1] for part in label.split("; ") if part.startswith(start)]
        return int(drawn[0]) if drawn else None

    def ink() -> int:
        """The number of pixels that the mean of the run `now` is drawn with."""
        script = """
            const canvas = document.getElementById("curve");
            const run = [...document.querySelectorAll("#runs-list li")].find(
              (li) => li.querySelector("b").textContent === arguments[0]);
            const probe = getComputedStyle(run.querySelector("input")).backgroundColor;
            const [r, g, b] = probe.match(/\\d+/g).map(Number);
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
              if (Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 9
                  && data[i + 3] > 128) count++;
            return count;"""
        return page.driver.execute_script(script, now.folder.name)

    page.until(lambda: last(now) == 99)
    assert page.the("#live").text == "esp32 is training"
    page.until(lambda: last(old) == 899)  # drawn beside it
    before = ink()
    assert before > 30
    for end in (200, 500, 800):
        now.train(range(end - 100, end))
        page.until(lambda end=end: last(now) == end - 1)
    assert ink() > 2 * before
    now.train(range(800, 1000))
    page.until(lambda: last(now) == 999 and not page.the("#live").is_displayed())
    now.make_up("arona")
    page.until(lambda: "arona" in page.texts("#made-up")[0])
    now.finish()

    boxes = page.driver.find_elements(By.CSS_SELECTOR, "#runs-list input")
    rows = page.texts("#runs-list b")
    page.driver.execute_script("arguments[0].click()", boxes[rows.index(old.folder.name)])
    page.until(lambda: last(old) is None and last(now))

    shutil.rmtree(now.folder)
    page.until(lambda: now.folder.name not in page.texts("#runs-list b"))


def test_names_of_any_text_are_shown_as_text(page: Page, runs_folder: Path) -> None:
    run = BoardRun(runs_folder, seed=4)
    run.train(range(1000))
    names = [
        "Zürich  (ZH)",
        "a, b",
        "<b>bold</b>&amp;",
        "\u05d9\u05e8\u05d5\u05e9\u05dc\u05d9\u05dd",
        "\U0001f43f\ufe0f",
    ]
    for name in names:
        run.make_up(name)
    run.finish()
    page.until(lambda: page.texts("#made-up bdi") == names)
    assert page.texts("#made-up") == ["esp32 generated: " + " · ".join(names)]
    assert page.the("#made-up bdi").text == names[0]  # both blanks


def test_each_run_that_is_drawn_has_a_colour_of_its_own(page: Page, runs_folder: Path) -> None:
    colours = """
        return [...document.querySelectorAll("#runs-list input:checked")].map(
          (box) => getComputedStyle(box).backgroundColor)"""
    for number in range(10):  # more than there are colours
        folder = runs_folder / f"ended-{number}"
        folder.mkdir()
        started = {"started": f"2100-01-01T00:00:0{number}+00:00"}
        (folder / "run.json").write_text(json.dumps(started))
        (folder / "log.jsonl").write_text('{"step": 0, "loss": 3.3}\n')
        os.utime(folder / "log.jsonl", (0, 0))
        if number > 6:
            page.until(lambda name=folder.name: name in page.texts("#runs-list b"))
            page.until(lambda: len(set(page.driver.execute_script(colours))) == 3)
    for folder in runs_folder.glob("ended-*"):
        shutil.rmtree(folder)


AXIS = """
    const canvas = document.createElement("canvas");
    canvas.style = `display: block; height: 260px; width: ${arguments[0]}px`;
    document.body.append(canvas);
    const labels = [];
    const context = canvas.getContext("2d");
    context.fillText = function (text, x, y) {
      const { width } = this.measureText(text);
      const left = { left: x, center: x - width / 2, right: x - width }[this.textAlign];
      labels.push({ text, y, left, right: left + width });
    };
    const points = [...arguments[1]].map((step) => ({ step, loss: 3, mean: 3 }));
    const done = arguments[2];
    import("/common/chart.js").then(({ Chart }) => {
      new Chart(canvas, document.createElement("p")).draw(
        [{ name: "a", colour: "--curve-1", points, live: false }]);
      const bottom = Math.max(...labels.map((label) => label.y));
      const edge = canvas.clientWidth;
      canvas.remove();
      done([labels.filter((label) => label.y === bottom), edge]);
    });"""


@pytest.mark.parametrize("width", [250, 700])
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000, 1001, 12_345, 1_000_000])
def test_the_axis_of_steps_begins_at_0_and_ends_at_their_number(
    page: Page, steps: int, width: int
) -> None:
    logged = [0, steps - 1] if steps > 1 else [0]
    drawn, edge = page.driver.execute_async_script(AXIS, width, logged)
    labels = sorted(drawn, key=lambda label: label["left"])
    numbers = [int(label["text"].replace(",", "")) for label in labels]
    assert numbers[0] == 0
    assert numbers[-1] == steps
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= min(steps + 1, 3)
    for before, after in itertools.pairwise(labels):
        assert after["left"] - before["right"] > 6
    assert labels[-1]["right"] <= edge


def test_the_reading_under_the_pointer(page: Page, runs_folder: Path) -> None:
    run = BoardRun(runs_folder, seed=3)
    run.train(range(900))
    run.finish()
    page.until(lambda: f"{run.folder.name}: " in page.the("#curve").get_attribute("aria-label"))
    script = """
        const canvas = document.getElementById("curve");
        canvas.dispatchEvent(new PointerEvent("pointermove", {
          clientX: canvas.getBoundingClientRect().left + canvas.clientWidth / 2 }));"""
    page.driver.execute_script(script)
    page.until(lambda: page.the("#reading").is_displayed())
    assert page.the("#reading").text.startswith("step 4")
    assert run.folder.name in page.the("#reading").text
