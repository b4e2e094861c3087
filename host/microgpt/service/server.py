"""Run the service on an address until Ctrl-C."""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn
from threadpoolctl import threadpool_limits

from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.service.app import create_app
from microgpt.service.pool import Pool


class AddressError(UserError):
    """The service cannot listen at an address."""


class Server(uvicorn.Server):
    """Ends at Ctrl-C without waiting for requests that still compute, which are answered 503."""

    def __init__(self, config: uvicorn.Config, pool: Pool) -> None:
        super().__init__(config)
        self._pool = pool

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._pool.end()
        super().handle_exit(sig, frame)


def serve(model: Model, host: str, port: int, runs: Path, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `announce` is called with the URL when the service listens.

    Raises AddressError if it cannot listen at `host` and `port`.
    """
    address, family = (f"[{host}]", socket.AF_INET6) if ":" in host else (host, socket.AF_INET)
    try:
        host.encode("idna")  # raises UnicodeError where create_server would raise TypeError
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not the name of a host"
        reason = str(said).partition(" (")[0]  # in brackets is the address
        raise AddressError(
            f"cannot listen at {address}:{port}: {reason}; choose another with --host or --port"
        ) from None
    announce(f"http://{address}:{listener.getsockname()[1]}")
    app = create_app(model, runs)
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=30)
    # One BLAS thread for each request: the threads of the pool use the other cores.
    with listener, threadpool_limits(1), suppress(KeyboardInterrupt):
        Server(config, app.state.pool).run([listener])
