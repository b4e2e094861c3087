"""ASGI middleware of the service: which requests it takes, when they end, security headers."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio import create_task_group, fail_after, sleep_forever
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microgpt.service.hosts import Hosts
from microgpt.service.problems import answer


@dataclass(frozen=True)
class Limits:
    """The limits of the service."""

    threads: int = min(4, os.cpu_count() or 1)  # requests computed at the same time
    waiting: int = 1000  # requests in the queue; above that the answer is 503
    seconds: float = 30.0  # to compute an answer, including the time in the queue
    body: int = 64 * 1024  # bytes in a request's body
    reading: float = 10.0  # seconds until a body is there
    connections: int = 2000  # at the same time; fewer if the system allows fewer open files
    idle: float = 30.0  # seconds until a connection has sent the head of a request
    exchange: float = 60.0  # seconds from there until the client has the answer


class ServiceMiddleware:
    """Refuses a request for another host and a body that is too large or too late.

    The application is cancelled as soon as the client disconnects. Every answer gets security
    headers.
    """

    HEADERS = [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    ]
    POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
    # Swagger's page has a script and styles inline.
    DOCS = f"{POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Hosts) -> None:
        self.app = app
        self.limits = limits
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        policy = self.DOCS if scope["path"].startswith("/docs") else self.POLICY
        headers = [*self.HEADERS, (b"content-security-policy", policy.encode())]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        async def refuse(status: int, detail: str) -> None:
            response = answer(scope["path"], status, detail, {"Connection": "close"})
            await response(scope, receive, send_with_headers)

        if not self.hosts.allow(Headers(scope=scope).get("host")):
            return await refuse(
                400, "unknown host: start the service with --allow-host and the name you use for it"
            )
        try:
            with fail_after(self.limits.reading):
                messages = await self._body(receive)
        except TimeoutError:
            return await refuse(408, f"no whole body after {self.limits.reading:g} seconds")
        if messages is None:
            return await refuse(413, f"the body is larger than {self.limits.body // 1024} KB")
        if messages[-1]["type"] == "http.disconnect":
            return None

        async def replay() -> Message:
            if not messages:
                await sleep_forever()  # a client that disconnects ends the whole application
            return messages.pop(0)

        async def run() -> None:
            await self.app(scope, replay, send_with_headers)

        return await _while_connected(receive, run)

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


async def _while_connected(receive: Receive, run: Callable[[], Awaitable[None]]) -> None:
    """Await run(), but cancel it if the client disconnects."""
    failure = None
    async with create_task_group() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            await run()
        except Exception as error:  # raised below: the group would wrap it in an ExceptionGroup
            failure = error
        tasks.cancel_scope.cancel()
    if failure:
        raise failure
