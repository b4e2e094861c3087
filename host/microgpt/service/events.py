"""Answers as server-sent events."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from microgpt.sampling import SamplingError
from microgpt.service.pool import OUT_OF_TIME

EVENT = {  # the schema of an event of the service's own
    "type": "object",
    "properties": {
        "event": {"enum": ["message", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["data"],
}


class EventStream(Response):
    """Sends events, each as soon as it is there.

    An error before the first is raised, so that it is answered with a status. After it, it is an
    event, since the status has been sent.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AbstractAsyncContextManager[AsyncIterator[str]],
        failed: Callable[[str], str],
    ) -> None:
        """Send `events`; `failed` returns the event that says why there are no more."""
        self.status_code = 200
        self.background = None
        self.init_headers({"X-Accel-Buffering": "no"})
        self._events = events
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }

        async def put(event: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": event.encode(), "more_body": more})

        started = False
        try:
            async with self._events as events:
                async for event in events:
                    if not started:
                        await send(start)
                        started = True
                    await put(event)
        except (TimeoutError, SamplingError) as error:
            if not started:
                raise
            return await put(
                self._failed(OUT_OF_TIME if isinstance(error, TimeoutError) else str(error)),
                more=False,
            )
        return await put("", more=False)


def event(data: dict[str, str], name: str = "") -> str:
    """Return an event of the service's own."""
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"
