"""The server's end of the stand-in for navigator.serial, serial_stub.js.

A page's port is a device here: an object with `read`, `write` and `signals`. A device sends all the
time; what it sends while the page has not opened the port is lost, as on a real serial line.
"""

import json
import os
import queue
import select
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Protocol

STUB = Path(__file__).with_name("serial_stub.js")
CP2102 = {"usbVendorId": 0x10C4, "usbProductId": 0xEA60}
READ_S = 0.02
PART = 0x4000


class Device(Protocol):
    """What is at the other end of the cable."""

    def read(self) -> bytes | None:
        """Return what it sends, b"" if there is nothing for READ_S, None once it is gone."""

    def write(self, data: bytes) -> None:
        """Take what the page sends."""

    def signals(self, signals: dict[str, bool]) -> None:
        """Take the lines that the page sets: dataTerminalReady, requestToSend."""


class Line:
    """A device that sends what the test says; `received` is what the page wrote."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lines: list[dict[str, bool]] = []
        self._sent: queue.Queue[bytes] = queue.Queue()

    def send(self, data: bytes) -> None:
        """Send `data` to the page."""
        self._sent.put(data)

    def read(self) -> bytes | None:
        """As Device."""
        with suppress(queue.Empty):
            return self._sent.get(timeout=READ_S)
        return b""

    def write(self, data: bytes) -> None:
        """As Device."""
        self.received += data

    def signals(self, signals: dict[str, bool]) -> None:
        """As Device."""
        self.lines.append(signals)


class Terminal:
    """What is behind a pseudo-terminal: `port` of a MicroPythonBoard, a RomLoader, a SerialEnd."""

    def __init__(self, port: str) -> None:
        self._file = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self.lines: list[dict[str, bool]] = []

    def read(self) -> bytes | None:
        """As Device."""
        try:
            if not select.select([self._file], [], [], READ_S)[0]:
                return b""
            return os.read(self._file, PART) or None
        except (OSError, ValueError):
            return None

    def write(self, data: bytes) -> None:
        """As Device."""
        while data:
            data = data[os.write(self._file, data) :]

    def signals(self, signals: dict[str, bool]) -> None:
        """As Device; a pseudo-terminal has no such lines."""
        self.lines.append(signals)

    def close(self) -> None:
        """Close our end."""
        os.close(self._file)


@dataclass
class _Port:
    """A device that is plugged in, and what it has sent to the page that opened the port."""

    device: Device
    info: dict[str, int]
    plugged: bool = True
    opened: int = 0  # number of the page's stream; 0: the port is closed
    options: list[dict[str, object]] = field(default_factory=list)  # of each opening
    sent: deque[bytes] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def work(self) -> None:
        """Take what the device sends, until it is unplugged."""
        while self.plugged:
            data = self.device.read()
            with self.changed:
                if data is None:
                    self.plugged = False
                elif data and self.opened:
                    self.sent.append(data)
                self.changed.notify_all()


class SerialPorts:
    """The serial ports of the computer that the page believes to be on.

    `chosen` is the port that the person chooses when the page asks for one, None: they cancel.
    """

    def __init__(self) -> None:
        self.chosen: str | None = None
        self.permitted: set[str] = set()
        self._ports: dict[str, _Port] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._pages: list[queue.Queue[dict[str, object] | None]] = []
        self._opened = 0

    def plug(self, name: str, device: Device, info: dict[str, int] | None = None) -> None:
        """Plug a device in; a page that was permitted to use this port hears of it."""
        port = _Port(device, info or CP2102)
        self._ports[name] = port
        self._threads[name] = threading.Thread(target=port.work)
        self._threads[name].start()
        self.chosen = self.chosen or name
        if name in self.permitted:
            self._tell({"event": "connect", **self._about(name)})

    def unplug(self, name: str) -> None:
        """Pull its cable: the page's streams end, and it hears of it."""
        self._ports[name].plugged = False
        self._threads.pop(name).join()
        del self._ports[name]
        if name in self.permitted:
            self._tell({"event": "disconnect", "name": name})

    def fault(self, name: str, kind: str) -> None:
        """Interrupt the page's reading by an error after which it can go on, "FramingError"."""
        self._tell({"event": kind, "name": name})

    def opened(self, name: str) -> bool:
        """Return whether the page has the port open."""
        return name in self._ports and bool(self._ports[name].opened)

    def options(self, name: str) -> list[dict[str, object]]:
        """Return the options of each opening of the port, baudRate among them."""
        return self._ports[name].options

    def close(self) -> None:
        """Unplug everything, and end what pages still wait for."""
        for name in list(self._ports):
            self.unplug(name)
        self._tell(None)

    def _tell(self, message: dict[str, object] | None) -> None:
        for page in list(self._pages):
            page.put(message)

    def _about(self, name: str) -> dict[str, object]:
        return {"name": name, "info": self._ports[name].info}

    def handle(self, request: BaseHTTPRequestHandler, path: str) -> None:
        """Answer a request; `path` is what follows "__serial/" in its address."""
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length) if length else b""
        name, _, action = path.partition("/")
        if path == "":
            ready = sorted(self.permitted & self._ports.keys())
            _answer(request, [self._about(port) for port in ready])
        elif path == "request":
            self._request(request)
        elif path == "events":
            self._events(request)
        elif name not in self._ports:
            _answer(request, {"error": "The device has been lost."})
        else:
            self._port(request, self._ports[name], action, body)

    def _request(self, request: BaseHTTPRequestHandler) -> None:
        if self.chosen not in self._ports:
            _answer(request, {"error": "No port selected by the user."})
            return
        assert self.chosen
        self.permitted.add(self.chosen)
        _answer(request, self._about(self.chosen))

    def _events(self, request: BaseHTTPRequestHandler) -> None:
        messages: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._pages.append(messages)
        _begin(request)
        with suppress(OSError):  # the page is gone
            while (message := messages.get()) is not None:
                request.wfile.write(json.dumps(message).encode() + b"\n")
        self._pages.remove(messages)

    def _port(self, request: BaseHTTPRequestHandler, port: _Port, action: str, body: bytes) -> None:
        if action == "open":
            with port.changed:
                self._opened += 1
                port.opened = self._opened
                port.options.append(json.loads(body))
                port.sent.clear()
            _answer(request, port.opened)
        elif action == "close":
            with port.changed:
                port.opened = 0
                port.changed.notify_all()
            _answer(request, None)
        elif action == "signals":
            port.device.signals(json.loads(body))
            _answer(request, None)
        elif request.command == "POST":
            port.device.write(body)
            _answer(request, None)
        else:
            _stream(request, port)


def _stream(request: BaseHTTPRequestHandler, port: _Port) -> None:
    """Send what the device sends, until the page closes the port or it is unplugged."""
    number = port.opened
    _begin(request)
    with suppress(OSError):  # the page is gone
        while True:
            with port.changed:
                port.changed.wait_for(
                    lambda: port.sent or not port.plugged or port.opened != number
                )
                if port.opened != number or not (port.sent or port.plugged):
                    return
                data = b"".join(port.sent)
                port.sent.clear()
            request.wfile.write(data)


def _begin(request: BaseHTTPRequestHandler) -> None:
    """Begin an answer that ends with its connection."""
    request.close_connection = True
    request.send_response(200)
    request.send_header("Content-Type", "application/octet-stream")
    request.send_header("X-Content-Type-Options", "nosniff")
    request.send_header("Cache-Control", "no-store")
    request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.flush()


def _answer(request: BaseHTTPRequestHandler, content: object) -> None:
    """Answer with JSON; an object with `error` too, since browsers log every other status."""
    body = json.dumps(content).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Cache-Control", "no-store")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
