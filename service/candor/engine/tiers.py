"""The cache as the engine sees it: memory, then Redis; entries in, entries out, never an error."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from candor.engine.cache import MemoryCache
from candor.engine.entry import Entry, Malformed, decode, encode, entry_bytes
from candor.engine.leases import Leases
from candor.engine.redis_cache import RedisCache
from candor.engine.redis_locks import RedisLocks
from candor.metrics import Metrics

__all__ = ["Tiers", "memory_tier"]

_MAX_PENDING: Final = 64
"""Stores to Redis under way; beyond it a slow Redis would hold the answers in memory."""
_INLINE_BYTES: Final = 32 << 10
"""What is smaller is decoded in less time than a thread takes to wake."""


def memory_tier(max_bytes: int, ttl_s: float) -> MemoryCache[Entry]:
    """The memory tier for entries."""
    return MemoryCache(max_bytes, ttl_s, entry_bytes)


class Tiers:
    """Look up in memory, then in Redis; what Redis had is kept in memory too.

    Stores to Redis happen behind the answer: nobody waits for them but `flush`. Every method but
    the constructor runs on the event loop.

    Attributes:
        leases: who of the replicas computes what; None where each computes for itself.
    """

    def __init__(
        self,
        memory: MemoryCache[Entry],
        redis: RedisCache | None,
        metrics: Metrics,
        secret: bytes,
        locks: RedisLocks | None = None,
    ) -> None:
        self.leases = None if locks is None else Leases(locks, self.flush, metrics)
        self._memory = memory
        self._redis = redis
        self._metrics = metrics
        self._secret = secret
        self._pending: set[asyncio.Task[None]] = set()

    def peek(self, key: str) -> Entry | None:
        """What memory has; does not wait."""
        with self._metrics.cache_op("memory", "get"):
            return self._memory.get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The entries that exist, by key."""
        found = {key: entry for key in keys if (entry := self.peek(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if self._redis is None or not missing:
            return found
        stored = await self._redis.get_many(missing)
        for key, data in zip(missing, stored, strict=True):
            entry = None if data is None else await self._decode(data, key)
            if entry is not None:
                self._remember(key, entry)
                found[key] = entry
        return found

    def put_many(self, entries: Mapping[str, Entry]) -> None:
        """Keep complete answers: in memory now, in Redis soon."""
        for key, entry in entries.items():
            with self._metrics.cache_op("memory", "put"):
                self._remember(key, entry)
        if self._redis is None:
            return
        if len(self._pending) >= _MAX_PENDING:
            self._metrics.cache_error("redis", "backlog", len(entries))
            return
        task = asyncio.create_task(self._store(self._redis, entries), name="candor-cache-store")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    def refuse(self, key: str) -> None:
        """Forget an entry that turned out to be no answer to its question."""
        self._memory.forget(key)
        self._metrics.cache_error("redis", "misfit")

    async def ping(self) -> bool:
        """Whether Redis answers (True where none is configured), for the log at start."""
        return self._redis is None or await self._redis.ping()

    async def flush(self) -> None:
        """Wait for the stores under way."""
        await asyncio.gather(*self._pending, return_exceptions=True)

    async def close(self) -> None:
        """Finish what is being stored and close Redis; memory stays readable."""
        await self.flush()
        if self.leases is not None:
            await self.leases.close()
        if self._redis is not None:
            await self._redis.close()

    def _remember(self, key: str, entry: Entry) -> None:
        if self._memory.max_bytes == 0:  # to weigh an entry takes as long as to read it
            return
        if not self._memory.put(key, entry):
            self._metrics.cache_error("memory", "too_large")
        self._metrics.cache_bytes("memory", self._memory.size_bytes)

    async def _store(self, redis: RedisCache, entries: Mapping[str, Entry]) -> None:
        for key, entry in entries.items():
            # Compression is milliseconds for a large map.
            data = await asyncio.to_thread(encode, entry, key, self._secret)
            if data is None:
                self._metrics.cache_error("redis", "unencodable")
            else:
                await redis.put(key, data)

    async def _decode(self, data: bytes, key: str) -> Entry | None:
        if len(data) <= _INLINE_BYTES:
            entry = decode(data, key, self._secret)
        else:
            entry = await asyncio.to_thread(decode, data, key, self._secret)
        if isinstance(entry, Malformed):
            self._metrics.cache_error("redis", entry.reason)
            return None
        return entry
