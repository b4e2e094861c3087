"""What a person does in the tab Try, and sees there; needs Selenium."""

import numpy as np
from selenium.webdriver.common.by import By

from tests.support.web.site_page import SitePage


class Try:
    """The tab Try of the site in a real Chromium."""

    def __init__(self, page: SitePage) -> None:
        self.page = page
        self.ready()

    def ready(self) -> None:
        """Wait until the form has said where the model fits."""
        self.page.until(lambda: self.text("#fits"))

    def text(self, selector: str) -> str:
        found: str = self.page.the(selector).get_attribute("textContent") or ""
        return found.strip()

    def value(self, selector: str) -> str:
        found: str = self.page.the(selector).get_attribute("value") or ""
        return found

    def shown(self, selector: str) -> bool:
        return self.page.the(selector).is_displayed()

    def speed(self, index: int) -> None:
        self.page.slide("#run-speed", index)

    def fastest(self) -> None:
        self.speed(10)

    def settle(self) -> None:
        """Wait until the form's last change is in what it describes."""
        script = """
            const done = arguments[0];
            const box = document.getElementById("fits-figures");
            setTimeout(() => done(box.textContent), 600);"""
        self.page.driver.execute_async_script(script)

    def set(self, name: str, value: object) -> None:
        self.page.fill(f"#set-{name}", value)

    def phase(self) -> str:
        return self.text("#run-phase")

    def until_phase(self, phase: str) -> None:
        self.page.until(lambda: self.phase() == phase)

    def step(self) -> int:
        return int(self.text("#figure-step").split(" of ")[0].replace(",", ""))

    def log(self) -> list[str]:
        return self.text("#log").splitlines()

    def run_to_the_end(self, steps: int = 30) -> None:
        self.fastest()
        self.set("steps", steps)
        self.press_start()
        self.until_phase("Done")

    def press_start(self) -> None:
        self.page.press("#run-start")

    def weights(self) -> np.ndarray:
        """The weights of the model in the tab."""
        script = """
            const done = arguments[0];
            microgpt.board.weights().then(({ buffer }) => done([...new Uint32Array(buffer)]));"""
        bits = self.page.driver.execute_async_script(script)
        return np.array(bits, np.uint32)

    def own(self, text: str) -> None:
        """Choose the own text and paste this."""
        self.page.press("#list-own")
        script = """
            const field = document.getElementById("data-text");
            field.value = arguments[0];
            field.dispatchEvent(new Event("input", {bubbles: true}));"""
        self.page.driver.execute_script(script, text)

    def drop(self, *files: tuple[str, bytes], on: str = "#data") -> None:
        """Drop files on an element."""
        script = """
            const [target, files] = arguments;
            const given = new DataTransfer();
            for (const [name, bytes] of files)
              given.items.add(new File([new Uint8Array(bytes)], name));
            for (const type of ["dragover", "drop"]) target.dispatchEvent(
              new DragEvent(type, {dataTransfer: given, bubbles: true, cancelable: true}));"""
        listed = [[name, list(data)] for name, data in files]
        self.page.driver.execute_script(script, self.page.the(on), listed)

    def offers(self) -> list[str]:
        return self.page.texts("#data-offers button")

    def take(self, selector: str, text: str) -> None:
        """Press the button with this text in an element."""
        buttons = self.page.driver.find_elements(By.CSS_SELECTOR, f"{selector} button")
        self.page.driver.execute_script(
            "arguments[0].click()",
            next(b for b in buttons if b.get_attribute("textContent") == text),
        )

    def names(self) -> bytes:
        """names.bin of what the form describes."""
        script = "return [...microgpt.run.names]"
        return bytes(self.page.driver.execute_script(script))

    def load(self, changes: str = "{}") -> str:
        """Load the model of the run on the board, as m.zip; return what is said if it fails.

        `changes` are those to the model, JavaScript with the model as `now`.
        """
        script = f"""
            const done = arguments[0];
            const {{ charset, sizes }} = microgpt.board.facts;
            microgpt.board.weights()
              .then((weights) => ({{ name: "m.zip", charset, sizes, weights }}))
              .then((now) => microgpt.loadModel({{ ...now, ...{changes} }}))
              .then(() => done(""), (error) => done(error.message));"""
        return str(self.page.driver.execute_async_script(script))
