"""The Redis tier: bytes by key, and no failure of Redis ever reaches a caller.

Whatever goes wrong (refused, slow, killed, full, read-only, a value of another type) is a miss and
a count in `candor_cache_errors_total`. Reads and writes have a circuit breaker each, because a full
or read-only Redis still reads well. While the read breaker is open nobody waits: after a failure
a task beside the requests asks until Redis answers again, and closes it, whether or not anybody
calls. In a cluster each node has its own two: one that is dead costs the keys that it has.
"""

import asyncio
import random
from collections.abc import Awaitable, Sequence
from typing import Final

from redis import exceptions
from redis.asyncio import RedisCluster

from candor.engine.breaker import Breaker
from candor.engine.digest import SCHEMA
from candor.engine.redis_client import FAILURES, RedisClient, heeded
from candor.engine.redis_nodes import Nodes
from candor.metrics import Metrics

__all__ = ["MAX_VALUE_BYTES", "RedisCache", "reason_of"]

MAX_VALUE_BYTES: Final = 8 << 20
"""Compressed; larger values are not stored, and no more than this of one is ever fetched."""

_TTL_JITTER: Final = 0.1


class RedisCache:
    """Get and put under `candor:<namespace>:<schema>:<key>`; owns its client and its recovery."""

    def __init__(
        self,
        client: RedisClient,
        metrics: Metrics,
        *,
        namespace: str,
        ttl_s: float,
        timeout_s: float = 0.1,
        cooldown_s: float = 2.0,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._prefix = f"candor:{namespace}:{SCHEMA}:"
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._reads = Breaker(cooldown_s=cooldown_s)
        self._writes = Breaker(cooldown_s=cooldown_s)
        self._cooldown_s = cooldown_s
        self._recovery: asyncio.Task[None] | None = None
        self._nodes: Nodes | None = None
        if isinstance(client, RedisCluster):
            self._nodes = Nodes(client, timeout_s=timeout_s, cooldown_s=cooldown_s)
        metrics.redis_up(up=False)  # until it has answered once

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """What is stored under each key, in one round trip; None for a miss of any kind."""
        if self._nodes is None:
            return await self._get(keys, self._reads)
        found: list[bytes | None] = [None] * len(keys)
        nodes = await self._by_node(self._nodes, keys)
        asked = [
            self._get([keys[at] for at in positions], self._nodes.health(node).reads)
            for node, positions in nodes.items()
        ]
        for positions, values in zip(nodes.values(), await asyncio.gather(*asked), strict=True):
            for at, value in zip(positions, values, strict=True):
                found[at] = value
        return found

    async def _get(self, keys: Sequence[str], reads: Breaker) -> list[bytes | None]:
        misses: list[bytes | None] = [None] * len(keys)
        if reads.state != "closed":
            self._metrics.cache_error("redis", "open", len(keys))
            return misses
        try:
            with self._metrics.cache_op("redis", "get"):
                found = await self._read(keys)
        except FAILURES as error:
            self._failed(reads, error)
            return misses
        self._succeeded(reads)
        return [self._value(answer) for answer in found]

    async def put(self, key: str, data: bytes) -> bool:
        """Store a value for the TTL, a tenth more or less; False where it was not stored."""
        if len(data) > MAX_VALUE_BYTES:
            self._metrics.cache_error("redis", "too_large")
            return False
        writes = await self._writes_of(key)
        if writes is None:
            return False
        if not writes.admits():
            self._metrics.cache_error("redis", "open")
            return False
        # Keys that were written together (a warm-up, a batch) must not expire together.
        jitter = random.uniform(1 - _TTL_JITTER, 1 + _TTL_JITTER)  # noqa: S311 - spreads
        try:
            with self._metrics.cache_op("redis", "put"):
                async with asyncio.timeout(self._timeout_s):
                    px = max(1, int(self._ttl_s * 1000 * jitter))
                    await heeded(self._set(self._prefix + key, data, px))
        except FAILURES as error:
            self._failed(writes, error)
            return False
        except asyncio.CancelledError:
            writes.failed()  # it may have been the probe, which has to end somehow
            raise
        self._succeeded(writes)
        return True

    async def close(self) -> None:
        """Stop asking and close the connections."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        await self._client.aclose()

    async def ping(self) -> bool:
        """Whether Redis, or any of its nodes, answers; sets `candor_redis_up` and the breakers."""
        try:
            if self._nodes is None:
                async with asyncio.timeout(self._timeout_s):
                    await self._client.ping()
            elif not await self._nodes.look():
                self._reads.succeeded()
                self._ill(answers=self._nodes.any_answers)
                return self._nodes.any_answers
        except FAILURES as error:
            self._failed(self._reads, error)
            return False
        self._succeeded(self._reads)
        return True

    async def _writes_of(self, key: str) -> Breaker | None:
        """Whether to write a key; None where it is not known who has it."""
        if self._nodes is None:
            return self._writes
        for node in await self._by_node(self._nodes, [key]):
            return self._nodes.health(node).writes
        return None

    def _set(self, name: str, data: bytes, px: int) -> Awaitable[object]:
        if self._nodes is None:
            return self._client.set(name, data, px=px)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.set(name, data, px=px)
        return pipeline.execute()

    async def _by_node(self, nodes: Nodes, keys: Sequence[str]) -> dict[str, list[int]]:
        """Positions of keys by the node that has them; of none where the nodes are not known."""
        if self._reads.state != "closed":
            self._metrics.cache_error("redis", "open", len(keys))
            return {}
        try:
            async with asyncio.timeout(self._timeout_s):
                return await nodes.by_node([self._prefix + key for key in keys])
        except FAILURES as error:
            self._failed(self._reads, error)
            return {}

    async def _read(self, keys: Sequence[str]) -> list[bytes | Exception]:
        # GETRANGE rather than GET: whatever somebody else stored there, no more than the limit (and
        # one byte, to tell) crosses the wire. A key that does not exist reads as empty.
        async with asyncio.timeout(self._timeout_s):
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.getrange(self._prefix + key, 0, MAX_VALUE_BYTES)
            answers: list[bytes | Exception] = await heeded(pipeline.execute(raise_on_error=False))
        for answer in answers:
            # Still loading, no permission, a replica without its master: an illness of Redis, where
            # a value of another type is an illness of that value.
            if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                raise answer
        return answers

    def _value(self, answer: bytes | Exception) -> bytes | None:
        if isinstance(answer, Exception):
            self._metrics.cache_error("redis", "refused")
            return None
        if len(answer) > MAX_VALUE_BYTES:
            self._metrics.cache_error("redis", "too_large")
            return None
        return answer or None

    def _succeeded(self, breaker: Breaker) -> None:
        breaker.succeeded()
        self._metrics.redis_up(up=True)

    def _failed(self, breaker: Breaker, error: BaseException) -> None:
        breaker.failed()
        reason = reason_of(error)
        self._metrics.cache_error("redis", reason)
        # What refuses a command still answers, and so may the other nodes.
        others = self._nodes is not None and breaker is not self._reads and self._nodes.any_answers
        self._ill(answers=others or reason == "refused")

    def _ill(self, *, answers: bool) -> None:
        self._metrics.redis_up(up=answers)
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover(), name="candor-redis-recovery")

    async def _recover(self) -> None:
        """Ask every so often until there is an answer, not all replicas in the same instant."""
        answers = False
        while not answers:
            await asyncio.sleep(self._cooldown_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads
            answers = await self.ping() and (self._nodes is None or self._nodes.all_answer)


def reason_of(error: BaseException) -> str:
    """Label of a failure of Redis: `timeout`, `refused`, `connection` or `protocol`."""
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return "timeout"
    if isinstance(error, exceptions.ResponseError | exceptions.BusyLoadingError):
        return "refused"
    known = isinstance(
        error, exceptions.ConnectionError | exceptions.RedisClusterException | OSError
    )
    return "connection" if known else "protocol"
