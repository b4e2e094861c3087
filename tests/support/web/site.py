"""The site, built once for all tests, and a server that has it in a sub-path, as a school might."""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from microgpt_board.site.build import FACTS, build
from microgpt_board.site.serve import Handler

from tests.support.web.node import find_node
from tests.support.web.site_serial import SerialPorts

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.support.web.site_page import SitePage

SUB_PATH = "/some/school/"
SERIAL = "__serial/"


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The site without images for boards, which all processes share: a test changes only a copy."""
    find_node()
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent  # that of the processes' own
    lock = os.open(shared, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "site" / FACTS).exists():
            build(shared / "site")
    finally:
        os.close(lock)
    return shared / "site"


@pytest.fixture
def site_copy(site_folder: Path, tmp_path: Path) -> Path:
    """A copy of the site that a test may change."""
    return Path(shutil.copytree(site_folder, tmp_path / "site"))


class SiteServer:
    """A server of a site at SUB_PATH of a port of its own, so nothing is kept of other tests.

    `paths` are the paths that were asked for, from SUB_PATH on; `ports` the serial ports that the
    page finds with serial_stub.js. With `down` it answers nothing; what is in `held` it
    answers once it is no longer there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[str] = []
        self.ports = SerialPorts()
        self.down = False
        self.held: set[str] = set()
        handler = partial(_SiteHandler, self, directory=str(folder))
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}{SUB_PATH}"

    @property
    def facts(self) -> dict[str, object]:
        """What is in site.json."""
        found: dict[str, object] = json.loads((self.folder / FACTS).read_text())
        return found

    def close(self) -> None:
        """End the server, and the streams of its serial ports."""
        self.ports.close()
        self.held.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # A page asks for some 70 files at once: a connection that finds no place waits a second.
    request_queue_size = 128


class _SiteHandler(Handler):
    """Answers for the site, and for the serial ports."""

    def __init__(self, site: SiteServer, *args: object, **words: object) -> None:
        self.site = site
        super().__init__(*args, **words)

    def do_GET(self) -> None:
        if not self._is_serial() and self._is_site():
            super().do_GET()

    def do_POST(self) -> None:
        if not self._is_serial():
            self.send_error(405)

    def _is_serial(self) -> bool:
        start = SUB_PATH + SERIAL
        if not self.path.startswith(start) or self.site.down:
            return False
        self.site.ports.handle(self, self.path.removeprefix(start))
        return True

    def _is_site(self) -> bool:
        if self.site.down:
            self.close_connection = True
            return False
        path = self.path.removeprefix(SUB_PATH)
        self.site.paths.append(path)
        while path in self.site.held:
            time.sleep(0.01)
        if not self.path.startswith(SUB_PATH):
            self.send_error(404)
            return False
        self.path = "/" + self.path.removeprefix(SUB_PATH)
        return True


@pytest.fixture
def site(site_folder: Path) -> Iterator[SiteServer]:
    """A server of the site."""
    server = SiteServer(site_folder)
    yield server
    server.close()


@pytest.fixture
def site_page(chromium: "Chrome", site: SiteServer) -> "Iterator[SitePage]":
    """The site in Chromium; afterwards it must have asked one host, and complained of nothing."""
    from tests.support.web.site_page import SitePage

    page = SitePage(chromium, site.url)
    yield page
    page.check(site.host)
