"""A page in a tab of a real Chromium, the service's or (site_page.py) the site; needs Selenium."""

import json
from collections.abc import Callable

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait


class Page:
    """A tab with the page in it."""

    def __init__(self, driver: webdriver.Chrome, url: str, wait: bool = True) -> None:
        self.driver = driver
        self.url = url
        self.size(1280, 900)
        driver.get("about:blank")  # or the page of the test before could still ask for something
        driver.get_log("browser")
        driver.get_log("performance")
        driver.get(url)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until the page has what it shows of the model."""
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
        return {
            url.split("/")[2] for url in urls if not url.startswith(("data:", "blob:", "about:"))
        }
