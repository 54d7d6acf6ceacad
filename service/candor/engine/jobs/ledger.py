"""All that can be done with jobs: taken on, asked for, watched, cancelled, listed."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from candor.engine.jobs.keeper import Keeper
from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.record import Job, job_key
from candor.engine.jobs.running import Submission, run_job
from candor.engine.jobs.turnstile import Turnstile
from candor.engine.request import Report
from candor.errors import InvalidOption, NotFound, Unavailable
from candor.explain.parse import method_name
from candor.result import ModelId

__all__ = ["Jobs", "Kept"]

_EVERY_S: Final = 0.25
"""How often those who watch are told of progress; the end is told at once, by the server itself."""
_HEARD_S: Final = 2.0
"""How long a cancelled job of another server is waited for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where jobs are kept beside memory: in Redis."""

    reader: Reader
    keeper: Keeper


class Jobs:
    """The jobs of one server, and what it knows of those of the others; lives on the event loop.

    Every method takes the tenant who asks, and knows nothing of the jobs of any other.
    """

    def __init__(self, memory: Memory, kept: Kept | None, *, slots: int, secret: bytes) -> None:
        """Put the parts together.

        Args:
            memory: bounds what this server takes on.
            kept: where other servers see it; None: nowhere.
            slots: jobs that run at a time.
            secret: of the keys, 32 bytes.
        """
        self._memory = memory
        self._kept = kept
        self._turnstile = Turnstile(slots)
        self._secret = secret
        self._server = secrets.token_hex(8)
        self._stopping = False

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
        job = Job(asked.id, tenant, asked.digest, self._server, model, methods, time.time())
        held = Held(job, key, asked.ticket.caller, asked.size_bytes)
        self._memory.take_on(held)
        held.task = asyncio.create_task(self._live(held, asked), name=f"candor-job-{asked.id}")
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
            if held is not None and held.task is not None:
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
            self._cancel_key(key)
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

        False where Redis does not answer: jobs of other servers are missing.
        """
        jobs: dict[str, Job] = {}
        whole = True
        if self._kept is not None:
            try:
                jobs = {job.id: job for job in await self._kept.reader.of(tenant, limit)}
            except Unavailable:
                whole = False
        jobs |= {held.job.id: held.job for held in self._memory.all() if held.job.tenant == tenant}
        newest = sorted(jobs.values(), key=lambda job: -job.submitted_at)
        return newest[:limit], whole

    async def drain(self, seconds: float) -> None:
        """Take on no more, let what runs end within this time, and call the rest lost."""
        self._stopping = True
        under_way = self._memory.under_way()
        await asyncio.gather(*(held.known for held in under_way), return_exceptions=True)
        for held in under_way:
            if held.job.state == "queued":
                _stop(held)
        tasks = [held.task for held in under_way if held.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for held in self._memory.under_way():
                _stop(held)
            if late:
                await asyncio.wait(late)
        if self._kept is not None:
            await self._kept.keeper.finish(self._server)

    async def close(self) -> None:
        """Hang up."""
        if self._kept is not None:
            await self._kept.keeper.close()

    async def _live(self, held: Held, asked: Submission) -> None:
        """The whole life of a job, from before it is known whether it is to have one."""
        try:
            there = await self._kept.keeper.register(held) if self._kept else None
        except Unavailable:
            there = None  # it runs all the same, and Redis is told of it when it is back
        except Exception as error:  # noqa: BLE001 - it is whoever submits that is told
            self._memory.forget(held)
            held.known.set_exception(error)
            return
        held.known.set_result(there or held.job)
        if there is not None:
            self._memory.forget(held)
            return
        held.ours = True
        self._tend()
        await run_job(held, asked, self._memory, self._turnstile)
        self._tend()

    def _tend(self) -> None:
        if self._kept is not None:
            self._kept.keeper.tend(self._server, self._cancel_key)

    def _cancel_key(self, key: str) -> None:
        held = self._memory.get(key)
        if held is not None and held.task is not None and not held.job.ended:
            held.task.cancel()


def _stop(held: Held) -> None:
    held.stopping = True
    if held.task is not None:
        held.task.cancel()


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
