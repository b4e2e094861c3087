"""A streamed reply: server-sent events."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from microgpt.sampling import SamplingError

OUT_OF_TIME = "out of time: ask for less, or again later"
EVENT = {  # the schema of an event
    "type": "object",
    "properties": {
        "event": {"enum": ["message", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["data"],
}


class EventStream(Response):
    """Sends the pieces of a reply as events, then an event with the whole reply.

    An error before the first piece is raised, so that it is answered with a status. After it, it is
    an event, since the status has been sent.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AbstractAsyncContextManager[AsyncIterator[str]]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"X-Accel-Buffering": "no"})
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }

        async def put(event: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": event.encode(), "more_body": more})

        content: list[str] = []
        try:
            async with self._pieces as pieces:
                async for piece in pieces:
                    if not content:
                        await send(start)
                    content.append(piece)
                    await put(_event({"content": piece}))
        except (TimeoutError, SamplingError) as error:
            if not content:
                raise
            detail = OUT_OF_TIME if isinstance(error, TimeoutError) else str(error)
            return await put(_event({"detail": detail}, "error"), more=False)
        if not content:
            await send(start)
        return await put(_event({"role": "assistant", "content": "".join(content)}, "done"), False)


def _event(data: dict[str, str], name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"
