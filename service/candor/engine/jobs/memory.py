"""The jobs that this server has in memory: those under way, and those that ended lately.

One that is under way is never forgotten; of those that have ended the oldest go first, when they
are too old or too many, or where room is needed.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from candor.engine.jobs.record import Failure, Job, JobState
from candor.engine.request import Report
from candor.errors import Overloaded, Unsupported
from candor.metrics import Metrics

__all__ = ["Bounds", "Held", "Memory"]

_BUSY_S: Final = 5.0
"""When to come back where there are too many: a job is long work."""
_MOST_ENDED: Final = 1000
_RECORD_BYTES: Final = 2048
"""What a job takes beside its request or answer, roughly."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be kept.

    Attributes:
        jobs: that wait or run.
        size_bytes: of requests and answers.
        ttl_s: how long a job is kept when it has ended.
    """

    jobs: int
    size_bytes: int
    ttl_s: float


@dataclass(slots=True, eq=False)
class Held:
    """A job of this server.

    Attributes:
        size_bytes: of its request while it is under way, then of its answer.
        answer: the bytes of its message, once it has succeeded.
        reports: the newest of each method, row and target, while it runs.
        task: that runs it.
        request: what was asked, for another server to do it; None where that is not kept.
        written: the record that Redis has of it, as far as we know.
        resumable: whether Redis has all that another server needs to go on.
        stopping: whether it is the server that ends it.
        taken: whether another server has it now.
        known: the job of this id, ours or another server's, once that is settled.
        ours: whether it is ours.
        enlisted: whether Redis lists it among the jobs of its tenant.
        saved: whether Redis knows how it ended.
    """

    job: Job
    key: str
    caller: str
    size_bytes: int
    answer: bytes | None = None
    reports: dict[tuple[str, int, int], Report] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    request: bytes | None = None
    written: bytes = b""
    resumable: bool = False
    stopping: bool = False
    taken: bool = False
    known: "asyncio.Future[Job]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    ours: bool = False
    enlisted: bool = False
    saved: bool = False


class Memory:
    """Jobs by key; used from one event loop, no lock."""

    def __init__(self, bounds: Bounds, metrics: Metrics) -> None:
        self._bounds = bounds
        self._metrics = metrics
        self._held: dict[str, Held] = {}
        self._size_bytes = 0

    def get(self, key: str) -> Held | None:
        """One job; None where there is none, or it is too old."""
        held = self._held.get(key)
        if held is None or not _is_old(held, time.time()):
            return held
        self.forget(held)
        return None

    def all(self) -> Iterator[Held]:
        """Every job, oldest first."""
        self._forget_old()
        yield from tuple(self._held.values())

    def under_way(self) -> list[Held]:
        """Those that wait or run."""
        return [held for held in self._held.values() if not held.job.ended]

    def take_on(self, held: Held) -> None:
        """Keep a new job.

        Raises:
            Overloaded: there are as many as may be, or there is no room for its request.
            Unsupported: there may be none at all.
        """
        bounds = self._bounds
        if not bounds.jobs:
            raise Unsupported("this server takes on no jobs: its job_limit is 0")
        under_way = self.under_way()
        # As with requests, a flood is refused its own: who has none is let in, within reason.
        has_none = all(other.caller != held.caller for other in under_way)
        if len(under_way) >= (2 if has_none else 1) * bounds.jobs:
            raise Overloaded(
                f"{len(under_way)} jobs wait or run on this server, and it takes no more than "
                f"job_limit, {bounds.jobs}",
                _BUSY_S,
            )
        size_bytes = sum(other.size_bytes for other in under_way) + held.size_bytes
        if size_bytes > bounds.size_bytes:
            raise Overloaded(
                f"the requests of the jobs under way would take {size_bytes} bytes with this one, "
                f"over job_memory_bytes, {bounds.size_bytes}",
                _BUSY_S,
            )
        self._held[held.key] = held
        self._size_bytes += held.size_bytes
        self._metrics.jobs(held.job.state, 1)
        self._make_room()

    def change(
        self,
        held: Held,
        state: JobState,
        *,
        answer: bytes | None = None,
        why: Failure | None = None,
    ) -> None:
        """Move a job to its next state; one that has ended stays as it is.

        Args:
            held: the job.
            state: the next.
            answer: of one that succeeded.
            why: of one that did not.
        """
        if held.job.ended:
            return
        now = time.time()
        self._metrics.jobs(held.job.state, -1)
        if state == "running":
            held.job = replace(held.job, state=state, started_at=held.job.started_at or now)
            self._metrics.jobs(state, 1)
            return
        held.job = replace(
            held.job,
            state=state,
            progress=1.0 if state == "succeeded" else held.job.progress,
            ended_at=now,
            expires_at=now + self._bounds.ttl_s,
            failure=why,
        )
        self._metrics.job_ended(state)
        held.reports.clear()
        held.answer = answer
        held.request = None
        self._size_bytes -= held.size_bytes
        held.size_bytes = _RECORD_BYTES + len(answer or b"")
        self._size_bytes += held.size_bytes
        self._make_room()

    def forget(self, held: Held) -> None:
        """Drop a job that has ended, or was never begun."""
        if self._held.pop(held.key, None) is not None:
            self._size_bytes -= held.size_bytes
            if not held.job.ended:
                self._metrics.jobs(held.job.state, -1)

    def _make_room(self) -> None:
        self._forget_old()
        ended = [held for held in self._held.values() if held.job.ended]
        # What Redis has, too, goes first.
        ended.sort(key=lambda held: (not held.saved, held.job.ended_at))
        excess = len(ended) - _MOST_ENDED
        for position, held in enumerate(ended):
            if position >= excess and self._size_bytes <= self._bounds.size_bytes:
                return
            self.forget(held)

    def _forget_old(self) -> None:
        now = time.time()
        for held in tuple(self._held.values()):
            if _is_old(held, now):
                self.forget(held)


def _is_old(held: Held, now: float) -> bool:
    return held.job.expires_at is not None and now >= held.job.expires_at
