"""Jobs in Redis: records, answers, who is alive, who is to be cancelled, which jobs a tenant has.

    candor:<namespace>:job:<schema>:<key>              a record, and beside it
    candor:<namespace>:job:<schema>:<key>:answer       its answer
    candor:<namespace>:job:<schema>:<key>:cancel       there while somebody wants it to end
    candor:<namespace>:job:<schema>:server:<server>    there while that server lives
    candor:<namespace>:job:<schema>:of:<tenant>        ids of a tenant's jobs by time

Every command has one key, so that a cluster will do. Unlike the cache, which is well served without
Redis, this says so where Redis does not answer: by Unavailable.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from candor.engine.jobs.codec import SCHEMA
from candor.engine.redis_client import RedisClient
from candor.engine.sealed import MAX_BODY_BYTES
from candor.errors import Unavailable

__all__ = ["MAX_LISTED", "Shelf"]

MAX_LISTED: Final = 1000
"""Jobs of one tenant that are kept; the oldest go first."""

_MAX_RECORD_BYTES: Final = 64 << 10
_FLAG_MS: Final = 60_000
_UNDER_WAY_MS: Final = 60_000
"""What a job under way is kept for beside its time, written again and again meanwhile."""
_LIST_MS: Final = 7 * 86_400_000
"""The list outlives what it lists, which may run for days."""


class Shelf:
    """What replicas know of each other's jobs; owns its client."""

    def __init__(
        self, client: RedisClient, *, namespace: str, ttl_s: float, timeout_s: float
    ) -> None:
        """Put it on a client.

        Args:
            client: with time-outs that answers of many megabytes keep to.
            namespace: separates those who share one Redis.
            ttl_s: how long what has ended is kept.
            timeout_s: for each question.
        """
        self._client: Any = client
        self._prefix = f"candor:{namespace}:job:{SCHEMA}:"
        self._ttl_ms = max(1, int(ttl_s * 1000))
        self._timeout_s = timeout_s

    async def create(self, key: str, record: bytes) -> bool:
        """Store a record where there is none; whether there was none.

        Raises:
            Unavailable: Redis does not answer, as everywhere here.
        """
        async with self._asking():
            px = self._ttl_ms + _UNDER_WAY_MS
            return bool(await self._client.set(self._prefix + key, record, px=px, nx=True))

    async def put(self, records: Sequence[tuple[str, bytes]], *, ended: bool) -> None:
        """Store records, for the whole of their time from now on."""
        px = self._ttl_ms + (0 if ended else _UNDER_WAY_MS)
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key, record in records:
                pipeline.set(self._prefix + key, record, px=px)
            await pipeline.execute()

    async def get(self, keys: Sequence[str]) -> list[bytes]:
        """Records; b"" for each that is none."""
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.getrange(self._prefix + key, 0, _MAX_RECORD_BYTES)
            answers = await pipeline.execute(raise_on_error=False)
            return [_unless_odd(answer) for answer in answers]

    async def put_answer(self, key: str, answer: bytes) -> None:
        """Store an answer."""
        async with self._asking():
            await self._client.set(f"{self._prefix}{key}:answer", answer, px=self._ttl_ms)

    async def answer(self, key: str) -> bytes:
        """An answer; b"" where there is none."""
        async with self._asking():
            name = f"{self._prefix}{key}:answer"
            # Whatever stands there, no more than could be one of ours crosses the wire.
            found: bytes = await _text(self._client.getrange(name, 0, MAX_BODY_BYTES + 4096))
        return found

    async def beat(self, server: str, lost_s: float) -> None:
        """Say that a server lives; it counts as dead when it says nothing for so long."""
        async with self._asking():
            px = max(1, int(lost_s * 1000))
            await self._client.set(f"{self._prefix}server:{server}", b"", px=px)

    async def alive(self, servers: Sequence[str]) -> set[str]:
        """Which of them live."""
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for server in servers:
                pipeline.exists(f"{self._prefix}server:{server}")
            found = await pipeline.execute()
        return {server for server, there in zip(servers, found, strict=True) if there}

    async def gone(self, server: str) -> None:
        """Say that a server lives no longer."""
        async with self._asking():
            await self._client.delete(f"{self._prefix}server:{server}")

    async def flag(self, key: str) -> None:
        """Ask whoever runs a job to cancel it."""
        async with self._asking():
            await self._client.set(f"{self._prefix}{key}:cancel", b"", px=_FLAG_MS)

    async def unflag(self, key: str) -> None:
        """Take back what was asked of a job of the same id before."""
        async with self._asking():
            await self._client.delete(f"{self._prefix}{key}:cancel")

    async def flagged(self, keys: Sequence[str]) -> list[str]:
        """Which jobs are to be cancelled."""
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.exists(f"{self._prefix}{key}:cancel")
            found = await pipeline.execute()
        return [key for key, there in zip(keys, found, strict=True) if there]

    async def enlist(self, tenant: str, job_id: str, at: float) -> None:
        """Note that a tenant has a job, and forget its oldest where there are too many."""
        async with self._asking():
            name = f"{self._prefix}of:{tenant}"
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zadd(name, {job_id: at})
            pipeline.zremrangebyrank(name, 0, -MAX_LISTED - 1)
            pipeline.pexpire(name, self._ttl_ms + _LIST_MS)
            await pipeline.execute()

    async def listed(self, tenant: str, limit: int) -> list[str]:
        """Ids of a tenant's jobs, newest first; some may be gone."""
        async with self._asking():
            name = f"{self._prefix}of:{tenant}"
            found = await _text(self._client.zrevrange(name, 0, limit - 1), [])
        return [member.decode(errors="replace") for member in found]

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(
                "jobs are kept in Redis, which does not answer at the moment: only the server that "
                "runs a job can tell of it"
            ) from error


async def _text(asked: Any, otherwise: Any = b"") -> Any:
    """What was asked for; of a value of another type as little as of none."""
    try:
        return await asked
    except ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            return otherwise
        raise


def _unless_odd(answer: Any) -> bytes:
    if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
        return b""
    if isinstance(answer, Exception):
        raise answer
    return bytes(answer)
