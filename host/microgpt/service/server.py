"""Run the service on an address until Ctrl-C or another signal ends it."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from threadpoolctl import threadpool_limits

from microgpt.engines.base import Model
from microgpt.errors import UserError
from microgpt.service.app import create_app
from microgpt.service.connection import connection_class
from microgpt.service.hosts import Hosts
from microgpt.service.middleware import Limits
from microgpt.service.pool import Pool
from microgpt.system import signals

GRACE = 2.0  # seconds for answers to end in, after Ctrl-C
BACKLOG = 256  # connections that wait to be accepted; as many may be accepted at once
NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
REPEATED = 60.0  # seconds between two lines about the same trouble

logger = logging.getLogger("uvicorn.error")


class AddressError(UserError):
    """The service cannot listen at an address."""


class Server(uvicorn.Server):
    """Ends at Ctrl-C or SIGTERM within GRACE and a step of the model, whatever its clients do.

    Requests that still compute are answered 503.
    """

    def __init__(self, config: uvicorn.Config, pool: Pool) -> None:
        super().__init__(config)
        self._pool = pool
        self._said = -REPEATED

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._report)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._pool.end()
        asyncio.get_running_loop().call_later(GRACE, self._abort)
        await super().shutdown(sockets)
        self._abort()  # a second Ctrl-C comes here at once
        while self.server_state.tasks:
            await asyncio.sleep(0.01)

    def _abort(self) -> None:
        """End all connections, and with them their requests."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what went wrong in the loop; if it cannot accept a connection, one line a minute."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in NO_RESOURCES):
            return loop.default_exception_handler(context)
        if time.monotonic() - self._said >= REPEATED:
            self._said = time.monotonic()
            logger.error(f"new connections wait: {error.strerror} (see ulimit -n)")
        return None


def serve(
    models: Mapping[str, Model],
    host: str,
    port: int,
    runs: Path,
    announce: Callable[[str], None],
    allowed: Collection[str] = (),
    limits: Limits | None = None,
) -> None:
    """Serve models by name until Ctrl-C; `announce` is called with the URL when it listens.

    `allowed` are host names that requests may name beside those of `host` and of the loopback.
    Raises AddressError if it cannot listen at `host` and `port`.
    """
    address, family = (f"[{host}]", socket.AF_INET6) if ":" in host else (host, socket.AF_INET)
    try:
        host.encode("idna")  # raises UnicodeError where create_server would raise TypeError
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not the name of a host"
        reason = str(said).partition(" (")[0]  # in brackets is the address
        raise AddressError(
            f"cannot listen at {address}:{port}: {reason}; choose another with --host or --port"
        ) from None
    listens, bound = listener.getsockname()[:2]
    announce(f"http://{address}:{bound}")
    limits = limits or Limits()
    limits = replace(limits, connections=_connections(limits.connections))
    app = create_app(models, runs, limits, Hosts((host, *allowed), listens))
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=connection_class(limits),
        ws="none",
        lifespan="off",  # has nothing to do here, and complains of a second Ctrl-C
        log_level="error",  # a warning is about a request that is malformed: its client's trouble
        timeout_keep_alive=int(limits.idle) + 1,  # the connection's own limit comes first
        backlog=BACKLOG,
    )
    # One BLAS thread for each request: the threads of the pool use the other cores.
    server = Server(config, app.state.pool)
    # Uvicorn handles SIGINT and SIGTERM, and raises them again when it has ended.
    with listener, threadpool_limits(1), signals.handled(server.handle_exit):
        server.run([listener])


def _connections(most: int) -> int:
    """Return `most`, or the number of connections for which the process may open files.

    The limit of open files is raised where that is allowed.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return most
    reserved = BACKLOG + 64  # connections that are accepted to be refused; everything else
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + reserved
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    return min(most, max(soft // 2, soft - reserved))
