"""The Redis tier over a server, and an engine whose only cache it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from candor.engine.leases import LEASE_S
from candor.engine.redis_cache import RedisCache
from candor.engine.redis_client import open_redis
from candor.engine.redis_locks import RedisLocks
from candor.metrics import Metrics
from unit.engine.builders import LinearModel, Rig, rig

TIMEOUT_S = 30.0
"""A crowded machine is no slow Redis: only tests of one that is slow have a shorter one."""
SHORT_S = 0.3
COOLDOWN_S = 0.3


def redis_tier(
    url: str,
    metrics: Metrics,
    timeout_s: float = TIMEOUT_S,
    password_file: Path | None = None,
    **changes: object,
) -> RedisCache:
    """The tier with a short cool-down, so that a test sees the breaker close again."""
    settings = {"namespace": "tests", "ttl_s": 60.0, "cooldown_s": COOLDOWN_S} | changes
    client = open_redis(url, timeout_s, password_file)
    return RedisCache(client, metrics, timeout_s=timeout_s, **settings)


@asynccontextmanager
async def locking_rig(
    url: str, model: LinearModel, *, lease_s: float = LEASE_S, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[Rig]:
    """A new replica that computes long explanations once together with the others."""
    metrics = Metrics(CollectorRegistry())
    redis = redis_tier(url, metrics, timeout_s)
    client = open_redis(url, timeout_s)
    locks = RedisLocks(client, metrics, namespace="tests", timeout_s=timeout_s)
    try:
        async with rig(model, metrics=metrics, redis=redis, locks=locks) as built:
            assert built.cache.leases is not None
            built.cache.leases._lease_s = lease_s
            yield built
    finally:
        await client.aclose()


@asynccontextmanager
async def redis_rig(url: str, *, memory_bytes: int = 0, **changes: object) -> AsyncIterator[Rig]:
    """A new replica: an engine with a model and metrics of its own, before a shared Redis."""
    metrics = Metrics(CollectorRegistry())
    redis = redis_tier(url, metrics, **changes)
    async with rig(LinearModel(), metrics=metrics, redis=redis, memory_bytes=memory_bytes) as built:
        yield built
