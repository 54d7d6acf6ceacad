"""A job of the client for asyncio."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from candor.client.answers import Explanation, Progress
from candor.client.connection import Metadata
from candor.client.failures import translating
from candor.client.jobs_reading import (
    JobState,
    JobStatus,
    again_s,
    answer_of,
    left_s,
    read_status,
    still,
)
from candor.client.reading import read_progress
from candor.errors import DeadlineExceeded, Unavailable
from candor.v1 import job_pb2 as pb

if TYPE_CHECKING:
    from candor.v1.job_pb2_grpc import JobServiceAsyncStub

__all__ = ["AsyncJob"]

OnStatus = Callable[[JobStatus], None]


class AsyncJob:
    """An explanation that goes on when nobody is on the line; get one from `AsyncClient`.

    `state`, `progress` and `status` are what was last heard; `refresh` asks.
    """

    def __init__(self, stub: "JobServiceAsyncStub", metadata: Metadata, status: JobStatus) -> None:
        self._stub = stub
        self._metadata = metadata
        self.status = status

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r}, {self.state}, {self.progress:.0%})"

    @property
    def id(self) -> str:
        """By which any connection finds it: `await client.job(id)`."""
        return self.status.id

    @property
    def state(self) -> JobState:
        """How it stood."""
        return self.status.state

    @property
    def progress(self) -> float:
        """How much was done, 0 to 1."""
        return self.status.progress

    async def refresh(self, *, timeout_s: float | None = None) -> JobStatus:
        """Ask how it stands."""
        request = pb.GetJobRequest(id=self.id, omit_answer=True)
        with translating():
            found = await self._stub.GetJob(request, timeout=timeout_s, metadata=self._metadata)
        self.status = read_status(found.job)
        return self.status

    async def partial(self, *, timeout_s: float | None = None) -> tuple[Progress, ...]:
        """What there is so far, if the server that is asked runs it."""
        request = pb.GetJobRequest(id=self.id, omit_answer=True, partial=True)
        with translating():
            found = await self._stub.GetJob(request, timeout=timeout_s, metadata=self._metadata)
        self.status = read_status(found.job)
        return tuple(map(read_progress, found.partial))

    async def wait(
        self, timeout_s: float | None = None, *, on_progress: OnStatus | None = None
    ) -> Explanation:
        """Wait for its answer, through as many connections as it takes.

        Args:
            timeout_s: after which to give up waiting; the job goes on.
            on_progress: called with each status on the way.

        Raises:
            CandorError: what `explain` would have raised; Cancelled, where it was; Unavailable,
                where it is lost, or no server answers; DeadlineExceeded, when the time is over.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        failures = 0
        while True:
            try:
                async for news in self._news(left_s(until)):
                    failures = 0
                    self.status = read_status(news.job)
                    if self.status.done:
                        return answer_of(self.status, news.answer)
                    if on_progress is not None:
                        on_progress(self.status)
            except DeadlineExceeded as error:
                raise still(self.status, timeout_s) or error from error
            except Unavailable:
                failures += 1
                pause_s = again_s(self.status, failures, until, timeout_s)
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)

    async def cancel(self, *, timeout_s: float | None = None) -> JobStatus:
        """Stop it; one that has ended stays as it is."""
        request = pb.CancelJobRequest(id=self.id)
        with translating():
            found = await self._stub.CancelJob(request, timeout=timeout_s, metadata=self._metadata)
        self.status = read_status(found.job)
        return self.status

    async def _news(self, timeout_s: float | None) -> AsyncIterator[pb.WatchJobResponse]:
        request = pb.WatchJobRequest(id=self.id)
        call = self._stub.WatchJob(request, timeout=timeout_s, metadata=self._metadata)
        try:
            with translating():
                async for news in call:
                    yield news
            raise Unavailable("the news of the job ended before the job did")
        finally:
            call.cancel()
