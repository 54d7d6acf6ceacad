"""All that can be done with jobs: taken on, asked for, watched, cancelled, listed."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from blake3 import blake3

from candor.engine.jobs.heirs import Heir
from candor.engine.jobs.lives import Kept, Lives, Revive
from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.record import Job, job_key
from candor.engine.jobs.running import Submission
from candor.engine.request import Report
from candor.errors import InvalidOption, NotFound, Unavailable
from candor.explain.parse import method_name
from candor.metrics import Metrics
from candor.result import ModelId

__all__ = ["Jobs"]

_EVERY_S: Final = 0.25
"""How often those who watch are told of progress; the end is told at once, by the server itself."""
_HEARD_S: Final = 2.0
"""How long a cancelled job of another server is waited for."""


class Jobs:
    """The jobs of one server, and what it knows of those of the others; lives on the event loop.

    Every method takes the tenant who asks, and knows nothing of the jobs of any other.
    """

    def __init__(
        self, memory: Memory, kept: Kept | None, metrics: Metrics, *, slots: int, secret: bytes
    ) -> None:
        """Put the parts together.

        Args:
            memory: bounds what this server takes on.
            kept: where other servers see it; None: nowhere.
            metrics: told of jobs that are taken over.
            slots: jobs that run at a time.
            secret: of the keys, 32 bytes.
        """
        self._memory = memory
        self._kept = kept
        self._secret = secret
        self._server = secrets.token_hex(8)
        self._lives = Lives(memory, kept, server=self._server, slots=slots, secret=secret)
        self._heir = Heir(memory, kept, self._lives, metrics) if kept else None
        self._stopping = False

    def inherit(self, revive: Revive) -> None:
        """Take over jobs of dead servers from now on, where jobs are kept.

        Args:
            revive: makes of what was kept of a request what was made of it at first.
        """
        if self._heir is not None:
            self._heir.watch(self._server, revive)

    def digest(self, request: bytes) -> str:
        """By which a request is known to be the same."""
        return str(blake3(request, key=self._secret).hexdigest())

    async def submit(self, tenant: str, model: ModelId, asked: Submission) -> Job:
        """Take a job on; where the tenant has submitted it before, that job as it stands.

        Raises:
            InvalidOption: another request has this id.
            Overloaded: there are too many jobs under way.
            Unavailable: the server is stopping.
        """
        if self._stopping:
            raise Unavailable("the server is stopping and takes on no jobs")
        key = job_key(tenant, asked.id, self._secret)
        if (held := self._memory.get(key)) is not None:
            return _same(held.job, asked)
        methods = tuple(dict.fromkeys(map(method_name, asked.request.methods)))
        caller, now = asked.ticket.caller, time.time()
        job = Job(asked.id, tenant, asked.digest, self._server, model, methods, now, caller=caller)
        held = Held(job, key, caller, asked.size_bytes)
        self._lives.begin(held, asked)
        # Whoever hangs up now has submitted it all the same.
        return _same(await asyncio.shield(held.known), asked)

    async def find(self, tenant: str, job_id: str) -> Job:
        """A job as it stands.

        Raises:
            NotFound: the tenant has none of this id.
            Unavailable: Redis would know, but does not answer.
        """
        key = job_key(tenant, job_id, self._secret)
        if (held := self._memory.get(key)) is not None:
            return held.job
        job = await self._kept.reader.find(key) if self._kept else None
        return _existing(job, job_id)

    async def fetch(self, tenant: str, job_id: str) -> tuple[Job, bytes | None]:
        """A job, and the bytes of its answer, if it has succeeded.

        Raises:
            NotFound, Unavailable: as `find`.
        """
        key = job_key(tenant, job_id, self._secret)
        if (held := self._memory.get(key)) is not None:
            return held.job, held.answer
        job, answer = await self._kept.reader.fetch(key) if self._kept else (None, None)
        return _existing(job, job_id), answer

    def reports(self, tenant: str, job_id: str) -> tuple[Report, ...]:
        """The newest of each method, row and target of a job that runs here; else none."""
        held = self._memory.get(job_key(tenant, job_id, self._secret))
        return () if held is None else tuple(held.reports.values())

    async def watch(self, tenant: str, job_id: str) -> AsyncGenerator[Job, None]:
        """A job now, and whenever it has changed; the last has ended.

        Raises:
            NotFound, Unavailable: as `find`; or, of another server's job, that this one stops.
        """
        told: Job | None = None
        while True:
            job = await self.find(tenant, job_id)
            if job != told:
                told = job
                yield job
            if job.ended:
                return
            held = self._memory.get(job_key(tenant, job_id, self._secret))
            if held is not None and held.task is not None and not held.task.done():
                await asyncio.wait((held.task,), timeout=_EVERY_S)
            elif self._stopping:
                raise Unavailable("the server is stopping; another one can tell of the job")
            else:
                await asyncio.sleep(_EVERY_S)

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """Stop a job; one that has ended stays as it is, one of another server ends a little later.

        Raises:
            NotFound, Unavailable: as `find`.
        """
        key = job_key(tenant, job_id, self._secret)
        if (held := self._memory.get(key)) is not None:
            await asyncio.shield(held.known)
        if (held := self._memory.get(key)) is not None:
            self._lives.cancel(key)
            if held.task is not None:
                await asyncio.wait((held.task,))
            return held.job
        job = await self.find(tenant, job_id)
        if job.ended or self._kept is None:
            return job
        await self._kept.reader.cancel(key)
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_S):
                async for news in self.watch(tenant, job_id):
                    job = news
        return job

    async def list(self, tenant: str, limit: int) -> tuple[list[Job], bool]:
        """The tenant's jobs, newest first, and whether those are all that there are.

        False where Redis, or a node of it, does not answer: jobs of other servers may be missing.
        """
        jobs: dict[str, Job] = {}
        whole = True
        if self._kept is not None:
            try:
                known, whole = await self._kept.reader.of(tenant, limit)
                jobs = {job.id: job for job in known}
            except Unavailable:
                whole = False
        jobs |= {held.job.id: held.job for held in self._memory.all() if held.job.tenant == tenant}
        newest = sorted(jobs.values(), key=lambda job: -job.submitted_at)
        return newest[:limit], whole

    async def drain(self, seconds: float) -> None:
        """Take on no more, let what runs end within this time, and leave the rest to others."""
        self._stopping = True
        if self._heir is not None:
            await self._heir.stop()
        await self._lives.end(seconds)

    async def close(self) -> None:
        """Hang up."""
        if self._heir is not None:
            await self._heir.stop()
        if self._kept is not None:
            await self._kept.keeper.close()


def _same(job: Job, asked: Submission) -> Job:
    if job.digest != asked.digest:
        raise InvalidOption(
            f"job '{job.id}' was submitted before, with another request; expected the same one, "
            "or another id"
        )
    return job


def _existing(job: Job | None, job_id: str) -> Job:
    if job is None:
        raise NotFound(f"there is no job '{job_id[:80]}', or no longer")
    return job
