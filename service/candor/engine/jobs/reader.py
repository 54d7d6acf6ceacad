"""What Redis says of jobs, whoever runs them: read as a stranger's words, and judged.

A job under way whose server gives no sign of life waits for another to take it over, and is lost
where Redis does not have what that needs; so is one that succeeded where its answer cannot be had
any more. Nobody writes that down: it is what whoever asks is told.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from candor.engine.jobs.asker import NODE_AWAY
from candor.engine.jobs.codec import decode_answer, decode_job
from candor.engine.jobs.docket import Docket
from candor.engine.jobs.record import Job, job_key, lost, tenant_key
from candor.engine.jobs.shelf import Shelf
from candor.engine.sealed import Malformed
from candor.errors import Unavailable
from candor.metrics import Metrics

__all__ = ["Reader", "Standing"]

_GONE = "the server that had it has stopped"
_NO_ANSWER = "its answer is no longer in Redis"


@dataclass(frozen=True, slots=True)
class Standing:
    """What Redis has of a job.

    Attributes:
        job: None where there is none.
        written: its record; where there is no job, the beginning of whatever stands there.
        whole: whether everybody who might have a newer one answers.
    """

    job: Job | None
    written: bytes
    whole: bool


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
            Unavailable: whoever would know does not answer, as everywhere here.
        """
        (standing,) = await self.standing([key])
        if standing.job is None and not standing.whole:
            raise Unavailable(NODE_AWAY)
        return (await self._judged([key], [standing]))[0]

    async def fetch(self, key: str) -> tuple[Job | None, bytes | None]:
        """A job with its answer, if it has succeeded."""
        return await self._fetched(key, await self.find(key))

    async def there(self, standing: Standing, key: str) -> Job | None:
        """A job as one finds it; None where it is lost, and its place free."""
        (judged,) = await self._judged([key], [standing])
        job, _ = await self._fetched(key, judged)
        return None if job is None or job.state == "lost" else job

    async def of(self, tenant: str, limit: int) -> tuple[list[Job], bool]:
        """The newest jobs of a tenant, and whether those are all that there are."""
        ids = await self._shelf.listed(tenant_key(tenant, self._secret), limit)
        keys = [job_key(tenant, job_id, self._secret) for job_id in ids]
        found = await self.standing(keys) if keys else []
        jobs = await self._judged(keys, found)
        whole = all(standing.job is not None or standing.whole for standing in found)
        return [job for job in jobs if job is not None], whole

    async def standing(self, keys: Sequence[str]) -> list[Standing]:
        """What stands under each key."""
        stored = await self._shelf.get(keys)
        return [self._newest(records, key) for records, key in zip(stored, keys, strict=True)]

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

    def _newest(self, records: Sequence[bytes | None], key: str) -> Standing:
        newest, written = None, records[0] or b""
        for data in records:
            job = self.decoded(data, key) if data else None
            if data and job is not None and (newest is None or job.moves > newest.moves):
                newest, written = job, data
        return Standing(newest, written, None not in records)

    async def _fetched(self, key: str, job: Job | None) -> tuple[Job | None, bytes | None]:
        if job is None or job.state != "succeeded":
            return job, None
        data = await self._shelf.answer((key, job.moves))
        answer = await asyncio.to_thread(decode_answer, data, key, self._secret)
        if isinstance(answer, Malformed):
            if data:
                self._metrics.cache_error("redis", answer.reason)
            return replace(job, state="lost", failure=lost(_NO_ANSWER)), None
        return job, answer

    async def _judged(self, keys: Sequence[str], found: Sequence[Standing]) -> list[Job | None]:
        """Jobs as whoever asks is told of them: whether anybody works on them."""
        jobs = dict(zip(keys, (standing.job for standing in found), strict=True))
        under_way = {key: job for key, job in jobs.items() if job is not None and not job.ended}
        servers = {job.server for job in under_way.values()}
        alive = await self._docket.alive(sorted(servers)) if servers else set()
        left = {key: job for key, job in under_way.items() if job.server not in alive}
        places = [(key, job.moves) for key, job in left.items()]
        asked = await self._shelf.requests(places) if places else {}
        judged = {key: _left(job, resumable=key in asked) for key, job in left.items()}
        return [judged.get(key, job) for key, job in jobs.items()]


def _left(job: Job, *, resumable: bool) -> Job:
    if resumable:
        return replace(job, state="queued")
    return replace(job, state="lost", failure=lost(_GONE))
