"""The page in a real Chromium, at the real service."""

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import microgpt
import pytest
from microgpt.chat.conversations import Message
from microgpt.chat.session import Chat

from tests.support.board_run import BoardRun
from tests.support.services import Service as Running

pytest.importorskip("selenium", reason="needs Selenium: .venv/bin/pip install -e '.[dev]'")
pytest.importorskip("fastapi_offline", reason="needs FastAPI: .venv/bin/pip install -e '.[serve]'")

# ruff: noqa: E402 - imports that need Selenium
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs chromium and chromedriver: on Debian, apt install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


class Page:
    """A tab with the page in it."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self.size(1280, 900)
        driver.get_log("browser")
        driver.get_log("performance")
        driver.get(url)
        self.until(lambda: self.the("#model").get_attribute("textContent"))

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def the(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements; those of a list that is drawn anew at the same moment too."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.driver.execute_script(script, selector)

    def until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.driver, 30, 0.05).until(lambda _: condition())

    def press(self, selector: str) -> None:
        self.driver.execute_script("arguments[0].click()", self.the(selector))

    def fill(self, selector: str, value: object) -> None:
        field = self.the(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(str(value))

    def slide(self, selector: str, value: float) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.driver.execute_script(script, self.the(selector), value)

    def colour(self) -> str:
        return self.the("body").value_of_css_property("background-color")

    def theme(self) -> str | None:
        return self.the("html").get_attribute("data-theme")

    def dark(self, dark: bool) -> None:
        """What the system asks for."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def requests(self) -> list[dict]:
        """What was asked for since the page was opened, or since the last look."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        return [
            message["params"]["request"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def hosts(self) -> set[str]:
        """The hosts that were asked for anything since the page was opened."""
        urls = [request["url"] for request in self.requests()]
        return {url.split("/")[2] for url in urls if not url.startswith("data:")}


@pytest.fixture
def page(chromium: webdriver.Chrome, names_service: Running) -> Iterator[Page]:
    page = Page(chromium, names_service.url)
    yield page
    assert page.hosts() == {page.url.split("/")[2]}
    # "rendering": advice about reading a canvas back, which is this test's doing
    log = page.driver.get_log("browser")
    assert [entry for entry in log if entry["source"] != "rendering"] == []


@pytest.fixture
def chat_page(chromium: webdriver.Chrome, chat_service: Running) -> Page:
    return Page(chromium, chat_service.url)


def test_documents(page: Page, names_folder: Path) -> None:
    assert "4,192 parameters" in page.the("#model").text
    page.slide("#documents-temperature", 1.2)
    assert page.the("#documents-form output").text == "1.20"
    page.fill("#documents-form [name=num_samples]", 7)
    page.fill("#documents-form [name=seed]", 5)
    page.press("#documents-form [type=submit]")
    expected = microgpt.generate(microgpt.load(names_folder), 7, 1.2, 5)
    page.until(lambda: page.texts("#samples li") == [text or "(nothing)" for text in expected])
    page.fill("#documents-form [name=prompt]", "Má")  # folded to the vocabulary
    page.press("#documents-form [type=submit]")
    begun = microgpt.generate(microgpt.load(names_folder), 7, 1.2, 5, "ma")
    page.until(lambda: page.texts("#samples li") == begun)
    page.press("#documents-dice")
    page.until(lambda: page.the("#documents-form [name=seed]").get_property("value") != "5")
    page.fill("#documents-form [name=num_samples]", 70)  # the form itself refuses it
    page.press("#documents-form [type=submit]")
    assert page.driver.execute_script("return document.querySelector(':invalid') !== null")


def test_why_documents_are_not_generated_is_a_sentence(page: Page) -> None:
    errors = {
        "r2": "'2' is not in the vocabulary: the model knows a-z.",
        "a" * 16: "A prompt is at most 15 characters, not 16.",
    }
    for prompt, error in errors.items():
        page.fill("#documents-form [name=prompt]", prompt)
        page.press("#documents-form [type=submit]")
        page.until(lambda error=error: page.the("#documents-error").text == error)
        assert page.the("#documents-form [name=prompt]").get_property("value") == prompt
    page.driver.get_log("browser")  # which lists answers of 422


def test_a_model_that_cannot_chat_says_so(page: Page) -> None:
    page.until(lambda: page.the("#chat-none").is_displayed())
    assert "microgpt train --chat" in page.the("#chat-none").text
    assert not page.the("#chat-form").is_displayed()


def test_a_model_that_chats_shows_the_chat_and_no_documents(chat_page: Page) -> None:
    page = chat_page
    page.size(390, 844)  # where the header links to the sections
    page.until(lambda: page.the("#chat-form").is_displayed())
    assert not page.the("#documents").is_displayed()
    links = page.driver.find_elements(By.CSS_SELECTOR, "nav a")
    assert [link.text for link in links if link.is_displayed()] == ["Runs", "Chat"]


def test_documents_have_one_name(page: Page) -> None:
    words = page.driver.execute_script("return document.body.innerText").lower()
    assert page.the("#documents").is_displayed()
    assert "names" not in words
    assert page.the("#documents h2").text == "Documents"


def test_the_unit_of_the_loss_is_explained(page: Page) -> None:
    assert "in nats, against the step: 0 if " in page.texts("figcaption")[0]


@pytest.mark.parametrize("model", ["page", "chat_page"])
def test_every_input_has_a_label(model: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(model)
    unlabelled = """
        return [...document.querySelectorAll("input")].filter(
          (e) => !e.labels.length && !e.ariaLabel).map((e) => e.outerHTML)"""
    assert page.driver.execute_script(unlabelled) == []


def test_chat(chat_page: Page) -> None:
    page = chat_page
    page.until(lambda: page.the("#chat-form").is_displayed())
    page.slide("#chat-temperature", 0)
    for text, reply in (("Hi", "hello! what is your name?"), ("ada", "nice to meet you, ada.")):
        page.the("#chat-form [name=content]").send_keys(text, Keys.ENTER)
        page.until(lambda text=text, reply=reply: page.texts("#messages li")[-2:] == [text, reply])
        page.until(lambda: page.the("#chat-form [type=submit]").is_enabled())
    unknown = "<|user|>"
    page.the("#chat-form [name=content]").send_keys(unknown, Keys.ENTER)
    page.until(
        lambda: page.the("#chat-error").text.startswith(
            "'<', '|', '>' are not in the vocabulary: the model knows 2 3 a-p r-z"
        )
    )
    assert page.the("#chat-form [name=content]").get_property("value") == unknown
    assert len(page.texts("#messages li")) == 4
    page.press("#chat-reset")
    page.until(lambda: page.texts("#messages li") == [])
    page.fill("#chat-form [name=content]", "<b>" if "<" in page.texts("body")[0] else "good night")
    page.the("#chat-form [name=content]").send_keys(Keys.ENTER)
    page.until(lambda: len(page.texts("#messages li")) == 2)


def test_a_long_conversation_is_sent_as_far_as_it_fits_a_block(
    chat_page: Page, memorised: microgpt.Model
) -> None:
    page = chat_page
    page.until(lambda: page.the("#chat-form").is_displayed())
    page.slide("#chat-temperature", 0)
    block = memorised.config.block_size
    talk = Chat(memorised, 0)
    for text in (
        "hi",
        "what is attention?",
        "ada",
        "what is a loss?",
        "thanks",
        "x" * 110,
        "bye",
        "hi",
    ):
        page.the("#chat-form [name=content]").send_keys(text, Keys.ENTER)
        page.until(lambda: page.the("#chat-form [type=submit]").is_enabled())
        (body,) = [json.loads(r["postData"]) for r in page.requests() if r["method"] == "POST"]
        sent = [Message(**message) for message in body["messages"]]
        talk.say(Message("user", text))
        assert sent == talk.messages[-len(sent) :]
        assert sent[0].role == "user"
        assert sum(len(message.content) for message in sent) <= block
        # The same as to all of it: the service would have left out what was not sent.
        reply = "".join(talk.reply())
        assert page.texts("#messages li")[-1] == reply
    assert len(sent) < len(talk.messages) - 2


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
    import("/page/chart.js").then(({ Chart }) => {
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


def test_dark_and_light(page: Page) -> None:
    page.dark(False)
    page.until(lambda: page.theme() == "light")
    light = page.colour()
    page.dark(True)
    page.until(lambda: page.theme() == "dark")
    dark = page.colour()
    assert light != dark
    page.press("#theme")
    assert page.colour() == light
    page.driver.refresh()  # the choice is kept
    assert page.colour() == light
    page.press("#theme")
    page.dark(False)
    assert page.colour() == dark
    page.driver.execute_script("localStorage.clear()")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phone(chat_page: Page, width: int) -> None:
    page = chat_page
    page.size(width, 844)
    page.driver.refresh()
    page.until(lambda: page.the("#chat-form").is_displayed())
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    content, window = page.driver.execute_script(widths)
    assert content <= window == width
    small = """
        return [...document.querySelectorAll("button, input:not([type=checkbox])")]
          .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 24)
          .map((e) => e.outerHTML)"""
    assert page.driver.execute_script(small) == []  # all can be touched
