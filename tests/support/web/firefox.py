"""A page in a tab of a real Firefox, driven through WebDriver BiDi; needs websocket-client.

Debian's firefox-esr has no geckodriver beside it, and needs none: Firefox itself listens for BiDi.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import websocket

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

# No request of Firefox's own, no first-run pages; what is not here is Firefox's default.
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
}


class Firefox:
    """A headless Firefox with one tab, whose profile is the empty folder `profile`."""

    def __init__(self, profile: Path) -> None:
        assert FIREFOX
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        address = profile / "WebDriverBiDiServer.json"
        words = ["--headless", "--no-remote", "--remote-debugging-port=0", "--profile", profile]
        self.process = subprocess.Popen(
            [FIREFOX, *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MOZ_CRASHREPORTER_DISABLE": "1", "HOME": str(profile)},
        )
        self.count = 0
        self.urls: list[str] = []  # of the requests of the tab
        self.errors: list[str] = []  # what the page wrote to the console as errors, and exceptions
        try:
            server = json.loads(self._appears(address))
            url = f"ws://{server['ws_host']}:{server['ws_port']}/session"
            self.socket = websocket.create_connection(url, timeout=60, suppress_origin=True)
            self.command("session.new", capabilities={})
            events = ["network.beforeRequestSent", "log.entryAdded"]
            self.command("session.subscribe", events=events)
            tree = self.command("browsingContext.getTree")
            self.tab = tree["contexts"][0]["context"]
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _appears(self, file: Path) -> str:
        """Return the text of a file once Firefox has written it."""
        end = time.monotonic() + 60
        while not (file.exists() and file.read_text().endswith("}")):
            assert self.process.poll() is None, "Firefox has ended"
            assert time.monotonic() < end, "Firefox does not listen"
            time.sleep(0.05)
        return file.read_text()

    def command(self, method: str, **params: object) -> Any:
        """Return the result of a command; events that arrive meanwhile are kept."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.count:
                assert message["type"] == "success", message
                return message["result"]
            self._event(message.get("method"), message.get("params"))

    def _event(self, method: str, params: Any) -> None:
        if method == "network.beforeRequestSent":
            self.urls.append(params["request"]["url"])
        elif method == "log.entryAdded" and params["level"] == "error":
            self.errors.append(params["text"])

    def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self.command("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript in the page, of what JSON has."""
        result = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression})))()",
            target={"context": self.tab},
            awaitPromise=True,
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        text = result["result"].get("value")
        return None if text is None else json.loads(text)

    def until(self, expression: str, seconds: float = 60) -> Any:
        """Return the value of an expression once it is true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, f"not true after {seconds} s: {expression}"
            time.sleep(0.05)
        return value

    def close(self) -> None:
        """End Firefox."""
        with contextlib.suppress(websocket.WebSocketException, OSError):
            self.command("browser.close")
        self.socket.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
