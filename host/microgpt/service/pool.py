"""Run work in a bounded pool of threads, with a bounded queue and a time limit."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class OverloadError(Exception):
    """The queue is full, or the service is ending."""


class Job:
    """A request's work, which stops when it is cancelled or its time is over."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._cancelled = False

    def cancel(self) -> None:
        """Let the next `check` raise, because nobody waits for the result."""
        self._cancelled = True

    def check(self) -> None:
        """Raise TimeoutError if the job is cancelled or its time is over."""
        if self._cancelled or self.seconds_left <= 0:
            raise TimeoutError

    @property
    def seconds_left(self) -> float:
        """Seconds until the time limit, negative after it."""
        return self._deadline - time.monotonic()


class Pool:
    """Runs functions of a `Job` in threads; they have to call its `check` often."""

    def __init__(self, threads: int, waiting: int, seconds: float) -> None:
        """Run at most `threads` jobs and let `waiting` more wait, each for `seconds` in total."""
        self._executor = ThreadPoolExecutor(threads, "model")
        self._places = threading.Semaphore(threads + waiting)
        self._seconds = seconds
        self._jobs: set[Job] = set()
        self._ending = False

    async def run(self, work: Callable[[Job], Result]) -> Result:
        """Return work(job); raise OverloadError if the queue is full, TimeoutError if too late."""

        def begin(job: Job) -> Result:
            job.check()  # it may have waited too long
            return work(job)

        job = Job(self._seconds)
        future = self._submit(begin, job)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), job.seconds_left)
        finally:
            job.cancel()

    async def stream(self, work: Callable[[Job], Iterator[str]]) -> AsyncGenerator[str, None]:
        """Yield the pieces of work(job) as they come; raise as `run` does, also between pieces."""
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

    def _submit(self, work: Callable[[Job], Result], job: Job) -> Future[Result]:
        if self._ending or not self._places.acquire(blocking=False):
            raise OverloadError

        def done(_: Future[Result]) -> None:
            self._jobs.discard(job)
            self._places.release()

        self._jobs.add(job)
        future = self._executor.submit(work, job)
        future.add_done_callback(done)
        return future

    def end(self) -> None:
        """Accept no more work, and cancel all jobs: each raises TimeoutError at its next check."""
        self._ending = True
        for job in list(self._jobs):
            job.cancel()

    def close(self) -> None:
        """End all work and release the threads, without waiting for them."""
        self.end()
        self._executor.shutdown(wait=False)
