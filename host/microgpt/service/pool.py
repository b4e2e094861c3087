"""Run work in a bounded number of threads, with a bounded queue and a time limit.

The work calls `check` often, which ends it when nobody waits for its result any more.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from anyio import (
    CancelScope,
    CapacityLimiter,
    create_memory_object_stream,
    create_task_group,
    fail_after,
    from_thread,
    to_thread,
)

OUT_OF_TIME = "out of time: ask for less, or again later"  # what a client is told

Result = TypeVar("Result")

check = from_thread.check_cancelled  # raises in the thread of a request that is over


class OverloadError(Exception):
    """The queue is full, or the service is ending."""


class Pool:
    """Runs functions in threads; what awaits the result can be cancelled, which ends the work."""

    def __init__(self, threads: int, waiting: int, seconds: float) -> None:
        """Run at most `threads` works and let `waiting` more wait, each for `seconds` in total."""
        self._threads = CapacityLimiter(threads)
        self._places = threads + waiting
        self._seconds = seconds
        self._requests: set[CancelScope] = set()
        self._ending = False

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return work(); raise OverloadError if the queue is full, TimeoutError if too late."""
        with self._request():
            return await to_thread.run_sync(work, limiter=self._threads)

    @asynccontextmanager
    async def stream(self, work: Callable[[], Iterator[str]]) -> AsyncIterator[AsyncIterator[str]]:
        """Give the pieces of work() as they come; raise as `run` does, also between pieces."""
        with self._request():
            sender, pieces = create_memory_object_stream[str](math.inf)

            def produce() -> None:
                for piece in work():
                    from_thread.run_sync(sender.send_nowait, piece)

            failures: list[Exception] = []  # raised below: the group would wrap it in another

            async def run() -> None:
                with sender:
                    try:
                        await to_thread.run_sync(produce, limiter=self._threads)
                    except Exception as error:
                        failures.append(error)

            with sender, pieces:
                async with create_task_group() as tasks:
                    tasks.start_soon(run)
                    yield pieces
            if failures:
                raise failures[0]

    @contextmanager
    def _request(self) -> Iterator[None]:
        """Hold a place until the block ends; raise OverloadError or TimeoutError as `run` does."""
        if self._ending or len(self._requests) >= self._places:
            raise OverloadError
        with fail_after(self._seconds) as scope:
            self._requests.add(scope)
            try:
                yield
            finally:
                self._requests.discard(scope)

    def end(self) -> None:
        """Accept no more work, and let all that is under way raise TimeoutError."""
        self._ending = True
        for scope in self._requests:
            scope.deadline = -math.inf
