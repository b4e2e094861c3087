"""The site in a tab of a real Chromium; needs Selenium."""

from tests.support.web.page import Page


class SitePage(Page):
    """A tab with the site in it."""

    def wait(self) -> None:
        """Wait until the page has started all its parts."""
        self.until(lambda: "MicroPython" in self.the("#version").get_attribute("textContent"))

    def go(self, fragment: str) -> None:
        """Load the page anew with this fragment: "flash", "watch", a link to a run."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}#{fragment}")
        self.wait()

    def check(self, host: str) -> None:
        """Assert that the page asked only this host, and that the browser complained of nothing."""
        others = self.hosts() - {host}
        assert not others, f"asked {', '.join(others)}, not only {host}"
        # "rendering": advice about reading a canvas back, which is a test's doing
        log = [entry for entry in self.driver.get_log("browser") if entry["source"] != "rendering"]
        assert log == [], log
