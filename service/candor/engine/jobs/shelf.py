"""Jobs in Redis: records, requests, answers, who is to be cancelled, which jobs a tenant has.

    candor:<namespace>:job:<schema>:<key>              a record, and beside it
    candor:<namespace>:job:<schema>:<key>:request      what was asked, while it is under way
    candor:<namespace>:job:<schema>:<key>:answer       its answer
    candor:<namespace>:job:<schema>:<key>:cancel       there while somebody wants it to end
    candor:<namespace>:job:<schema>:of:<tenant>        ids of a tenant's jobs by time

Every command has one key, so that a cluster will do. Unlike the cache, which is well served without
Redis, this says so where Redis does not answer: by Unavailable. A record is only ever put in the
place of one that the writer has seen, so that of two servers one learns that it is the other's.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from redis.exceptions import ResponseError

from candor.engine.jobs.codec import SCHEMA
from candor.engine.redis_client import FAILURES, RedisClient
from candor.engine.sealed import MAX_BODY_BYTES
from candor.errors import Unavailable

__all__ = ["MAX_LISTED", "Shelf", "asking", "typed", "unless_odd"]

MAX_LISTED: Final = 1000
"""Jobs of one tenant that are kept; the oldest go first."""

_MAX_RECORD_BYTES: Final = 64 << 10
_FLAG_MS: Final = 60_000
_UNDER_WAY_MS: Final = 60_000
"""What a job under way is kept for beside its time, written again and again meanwhile."""
_LIST_MS: Final = 7 * 86_400_000
"""The list outlives what it lists, which may run for days."""

_REPLACE: Final = (
    "local there = redis.pcall('get', KEYS[1]) "
    "if type(there) == 'string' and there ~= ARGV[1] then return there end "
    "redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3]) return false"
)
"""What is of another type than a record is none."""


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

    async def replace(self, key: str, seen: bytes, record: bytes, *, ended: bool) -> bytes | None:
        """Put a record where there is none, or the one that was seen.

        Returns:
            None where it stands there now; else what stands there.

        Raises:
            Unavailable: Redis does not answer, as everywhere here.
        """
        async with self._asking():
            px = self._ttl_ms + (0 if ended else _UNDER_WAY_MS)
            found = await self._client.eval(_REPLACE, 1, self._prefix + key, seen, record, px)
        return None if found is None else bytes(found)

    async def refresh(self, keys: Sequence[str]) -> tuple[set[str], set[str]]:
        """Keep records and requests of jobs under way; the keys of those that are not there."""
        px = self._ttl_ms + _UNDER_WAY_MS
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.pexpire(self._prefix + key, px)
            for key in keys:
                pipeline.pexpire(f"{self._prefix}{key}:request", px)
            found = await pipeline.execute()
        records, requests = found[: len(keys)], found[len(keys) :]
        return (
            {key for key, there in zip(keys, records, strict=True) if not there},
            {key for key, there in zip(keys, requests, strict=True) if not there},
        )

    async def put_request(self, key: str, request: bytes) -> None:
        """Store what was asked."""
        async with self._asking():
            px = self._ttl_ms + _UNDER_WAY_MS
            await self._client.set(f"{self._prefix}{key}:request", request, px=px)

    async def request(self, key: str) -> bytes:
        """What was asked; b"" where it is not there."""
        return await self._long(f"{key}:request")

    async def drop_request(self, key: str) -> None:
        """Forget what was asked."""
        async with self._asking():
            await self._client.delete(f"{self._prefix}{key}:request")

    async def requests(self, keys: Sequence[str]) -> dict[str, int]:
        """How many bytes was asked of each of them; not of those where it is not there."""
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.strlen(f"{self._prefix}{key}:request")
            found = await pipeline.execute(raise_on_error=False)
        sizes = zip(keys, found, strict=True)
        return {key: size for key, size in sizes if isinstance(size, int) and size}

    async def get(self, keys: Sequence[str]) -> list[bytes]:
        """Records; b"" for each that is none."""
        async with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.getrange(self._prefix + key, 0, _MAX_RECORD_BYTES)
            answers = await pipeline.execute(raise_on_error=False)
            return [bytes(unless_odd(answer)) for answer in answers]

    async def put_answer(self, key: str, answer: bytes) -> None:
        """Store an answer."""
        async with self._asking():
            await self._client.set(f"{self._prefix}{key}:answer", answer, px=self._ttl_ms)

    async def answer(self, key: str) -> bytes:
        """An answer; b"" where there is none."""
        return await self._long(f"{key}:answer")

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
            found = await typed(self._client.zrevrange(name, 0, limit - 1), [])
        return [member.decode(errors="replace") for member in found]

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _long(self, name: str) -> bytes:
        async with self._asking():
            # Whatever stands there, no more than could be one of ours crosses the wire.
            asked = self._client.getrange(self._prefix + name, 0, MAX_BODY_BYTES + 4096)
            found: bytes = await typed(asked)
        return found

    def _asking(self) -> AbstractAsyncContextManager[None]:
        return asking(self._timeout_s)


@asynccontextmanager
async def asking(timeout_s: float) -> AsyncGenerator[None, None]:
    """Ask Redis within a time.

    Raises:
        Unavailable: it does not answer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except FAILURES as error:
        raise Unavailable(
            "jobs are kept in Redis, which does not answer at the moment: only the server that "
            "runs a job can tell of it"
        ) from error


async def typed(asked: Any, otherwise: Any = b"") -> Any:
    """What was asked for; of a value of another type as little as of none."""
    try:
        return await asked
    except ResponseError as error:
        if str(error).startswith("WRONGTYPE"):
            return otherwise
        raise


def unless_odd(answer: Any) -> Any:
    """One answer of several; b"" for a value of another type."""
    if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
        return b""
    if isinstance(answer, Exception):
        raise answer
    return answer
