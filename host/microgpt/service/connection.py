"""A connection of the server: how many there are, and for how long each may be kept."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from microgpt.service.middleware import Limits


def connection_class(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's protocol class with limits for the number and the time of connections.

    uvicorn limits only the time between an answer and the next request.
    """

    class Connection(H11Protocol):
        """Ends a client that sends no whole head of a request, or does not read its answer."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start_timer()
            if len(self.connections) > limits.connections:
                transport.abort()

        def data_received(self, data: bytes) -> None:
            answering = self._answering
            super().data_received(data)
            if self._answering != answering:
                self._start_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._timer:
                self._timer.cancel()

        @property
        def _answering(self) -> bool:
            """Whether a request has begun that is not answered yet."""
            return self.cycle is not None and not self.cycle.response_complete

        def _start_timer(self) -> None:
            if self._timer:
                self._timer.cancel()
            seconds = limits.exchange if self._answering else limits.idle
            # abort, because close would wait for a client that does not read.
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    return Connection
