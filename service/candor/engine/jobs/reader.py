"""What Redis says of jobs, whoever runs them: read as a stranger's words, and judged.

A job under way whose server gives no sign of life waits for another to take it over, and is lost
where Redis does not have what that needs; so is one that succeeded where its answer cannot be had
any more. Nobody writes that down: it is what whoever asks is told.
"""

import asyncio
from dataclasses import replace

from candor.engine.jobs.codec import decode_answer, decode_job
from candor.engine.jobs.docket import Docket
from candor.engine.jobs.record import Job, job_key, lost, tenant_key
from candor.engine.jobs.shelf import Shelf
from candor.engine.sealed import Malformed
from candor.metrics import Metrics

__all__ = ["Reader"]

_GONE = "the server that had it has stopped"
_NO_ANSWER = "its answer is no longer in Redis"


class Reader:
    """Jobs of all servers, as Redis has them."""

    def __init__(self, shelf: Shelf, docket: Docket, metrics: Metrics, secret: bytes) -> None:
        self._shelf = shelf
        self._docket = docket
        self._metrics = metrics
        self._secret = secret

    async def find(self, key: str) -> Job | None:
        """A job; None where there is none, or what stands there is none.

        Raises:
            Unavailable: Redis does not answer, as everywhere here.
        """
        return (await self._read([key]))[0]

    async def fetch(self, key: str) -> tuple[Job | None, bytes | None]:
        """A job with its answer, if it has succeeded."""
        job = await self.find(key)
        if job is None or job.state != "succeeded":
            return job, None
        data = await self._shelf.answer(key)
        answer = await asyncio.to_thread(decode_answer, data, key, self._secret)
        if isinstance(answer, Malformed):
            if data:
                self._metrics.cache_error("redis", answer.reason)
            return replace(job, state="lost", failure=lost(_NO_ANSWER)), None
        return job, answer

    async def of(self, tenant: str, limit: int) -> list[Job]:
        """The jobs of a tenant, newest first."""
        ids = await self._shelf.listed(tenant_key(tenant, self._secret), limit)
        keys = [job_key(tenant, job_id, self._secret) for job_id in ids]
        return [job for job in await self._read(keys) if job is not None]

    async def cancel(self, key: str) -> None:
        """Ask the server that runs a job to end it."""
        await self._shelf.flag(key)

    def decoded(self, data: bytes, key: str) -> Job | None:
        """What a record says; None where it is none."""
        if not data:
            return None
        job = decode_job(data, key, self._secret)
        if isinstance(job, Malformed):
            self._metrics.cache_error("redis", job.reason)
            return None
        return job

    async def _read(self, keys: list[str]) -> list[Job | None]:
        stored = await self._shelf.get(keys)
        jobs = [self.decoded(data, key) for data, key in zip(stored, keys, strict=True)]
        under_way = {
            key: job
            for key, job in zip(keys, jobs, strict=True)
            if job is not None and not job.ended
        }
        servers = {job.server for job in under_way.values()}
        alive = await self._docket.alive(sorted(servers)) if servers else set()
        left = [key for key, job in under_way.items() if job.server not in alive]
        asked = await self._shelf.requests(left) if left else {}
        judged = {key: _left(under_way[key], resumable=key in asked) for key in left}
        return [judged.get(key, job) for key, job in zip(keys, jobs, strict=True)]


def _left(job: Job, *, resumable: bool) -> Job:
    if resumable:
        return replace(job, state="queued")
    return replace(job, state="lost", failure=lost(_GONE))
