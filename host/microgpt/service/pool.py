"""Work in a bounded number of threads, with a bounded queue and a time limit."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class OverloadError(Exception):
    """Too much is waiting already."""


class Job:
    """A piece of work that knows when to give up."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._cancelled = False

    def cancel(self) -> None:
        """Let the next `check` raise: nobody waits for the result any more."""
        self._cancelled = True

    def check(self) -> None:
        """Raise TimeoutError if the job was cancelled or its time is over."""
        if self._cancelled or self.seconds_left <= 0:
            raise TimeoutError

    @property
    def seconds_left(self) -> float:
        """The time to the limit, negative once it is over."""
        return self._deadline - time.monotonic()


class Pool:
    """Runs functions that take a `Job`, whose `check` they call often; time waiting counts too."""

    def __init__(self, threads: int, waiting: int, seconds: float) -> None:
        """At most `threads` run, `waiting` more wait, and each has `seconds` from its request."""
        self._executor = ThreadPoolExecutor(threads, "model")
        self._places = threading.Semaphore(threads + waiting)
        self._seconds = seconds
        self._jobs: set[Job] = set()
        self._ending = False

    async def run(self, work: Callable[[Job], Any]) -> Any:
        """Return work(job); raise OverloadError if no place is free, TimeoutError if too late."""

        def begin(job: Job) -> Any:
            job.check()  # it may have waited too long
            return work(job)

        job = Job(self._seconds)
        future = self._submit(begin, job)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), job.seconds_left)
        finally:
            job.cancel()

    async def stream(self, work: Callable[[Job], Iterator[str]]) -> AsyncIterator[str]:
        """Yield what work(job) yields, as it comes; errors as in `run`, also in between."""
        job = Job(self._seconds)
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | BaseException | None] = asyncio.Queue()

        def put(piece: str | BaseException | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def produce(job: Job) -> None:
            try:
                job.check()
                for piece in work(job):
                    job.check()
                    put(piece)
                put(None)
            except Exception as error:
                put(error)

        self._submit(produce, job)
        try:
            while (piece := await asyncio.wait_for(pieces.get(), job.seconds_left)) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            job.cancel()

    def _submit(self, work: Callable[[Job], Any], job: Job) -> Future:
        if self._ending or not self._places.acquire(blocking=False):
            raise OverloadError

        def done(_: Future) -> None:
            self._jobs.discard(job)
            self._places.release()

        self._jobs.add(job)
        future = self._executor.submit(work, job)
        future.add_done_callback(done)
        return future

    def end(self) -> None:
        """Take no more work, and cancel all there is: each ends with TimeoutError, soon."""
        self._ending = True
        for job in list(self._jobs):
            job.cancel()

    def close(self) -> None:
        """End, and let the threads go."""
        self.end()
        self._executor.shutdown(wait=False)
