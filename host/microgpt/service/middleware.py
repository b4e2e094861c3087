"""ASGI middleware of the service: a size limit for bodies, and security headers."""

import os
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Limits:
    """The limits of the service."""

    threads: int = min(4, os.cpu_count() or 1)  # requests computed at the same time
    waiting: int = 1000  # requests in the queue; above that the answer is 503
    seconds: float = 30.0  # for a request, including the time in the queue
    body: int = 64 * 1024  # bytes in a request's body


class ServiceMiddleware:
    """Refuses bodies that are too large before they are parsed, and adds security headers."""

    HEADERS = [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    ]
    POLICY = (b"content-security-policy", b"default-src 'self'; img-src 'self' data:")

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = list(self.HEADERS)
        if not scope["path"].startswith("/docs"):  # Swagger's page has an inline script
            headers.append(self.POLICY)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        messages = await self._body(receive)
        if messages is None:
            limit = self.limits.body // 1024
            response = JSONResponse(
                {"detail": f"the body is larger than {limit} KB"}, 413, {"Connection": "close"}
            )
            return await response(scope, receive, send_with_headers)

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        return await self.app(scope, replay, send_with_headers)

    async def _body(self, receive: Receive) -> list[Message] | None:
        """Return the messages of a request's body, None if it is too large."""
        messages = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self.limits.body:
                return None
            if not message.get("more_body", False):
                return messages
