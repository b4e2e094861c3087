"""Serve a built site to the browsers of this computer."""

import errno
import os
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
from microgpt.cli.options import PATH

from microgpt_board.errors import ToolError
from microgpt_board.site.build import FACTS, TARGET

HOST = "127.0.0.1"
PORT = 8000


def default_port() -> int:
    """Return the port in the environment's PORT if it is a number: else that is a board's."""
    text = os.environ.get("PORT", "")
    return int(text) if text.isdecimal() else PORT


class Handler(SimpleHTTPRequestHandler):
    """Sends files, with the types that browsers insist on; browsers ask each time for changes."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def end_headers(self) -> None:
        """Let browsers ask for changes: a site that is built again is shown at once."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing for a request."""


def serve(folder: Path, port: int) -> None:
    """Serve the site in `folder` until Ctrl-C.

    Raises ToolError if there is none, or if the port is taken or not allowed.
    """
    if not (folder / FACTS).exists():
        raise ToolError(f"there is no site in {folder}: make site builds it")
    try:
        server = ThreadingHTTPServer((HOST, port), partial(Handler, directory=str(folder)))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ToolError(f"port {port} is taken or not allowed: name another with --port") from None
    with server:
        click.echo(f"serving {folder}, until Ctrl-C, at http://{HOST}:{server.server_port}/")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


@click.command("site-serve")
@click.argument("folder", type=PATH, default=TARGET)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=default_port,
    show_default=f"PORT if it is a number, else {PORT}",
    help="0: any free port.",
)
def site_serve_command(folder: Path, port: int) -> None:
    """Serve a built site at http://127.0.0.1.

    Example: microgpt-board site-serve --port 8001
    """
    serve(folder, port)
