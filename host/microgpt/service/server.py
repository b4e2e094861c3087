"""The server of the service, from its socket to its end."""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from microgpt.engines.base import Model
from microgpt.service.app import create_app


class Server(uvicorn.Server):
    """Ends at Ctrl-C without waiting for requests that still compute: they get 503."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.pool.end()
        super().handle_exit(sig, frame)


def serve(model: Model, host: str, port: int, runs: Path, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `announce` gets the address. Raises OSError if it cannot be had."""
    address, family = (f"[{host}]", socket.AF_INET6) if ":" in host else (host, socket.AF_INET)
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # behind it: the address, once more
        raise OSError(
            f"cannot listen at {address}:{port}: {reason}; choose another with --host or --port"
        ) from None
    announce(f"http://{address}:{listener.getsockname()[1]}")
    config = uvicorn.Config(create_app(model, runs), log_level="warning", timeout_keep_alive=30)
    # A request computes in one thread: the pool has the others.
    with listener, threadpool_limits(1), suppress(KeyboardInterrupt):
        Server(config).run([listener])
