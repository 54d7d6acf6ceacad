"""Locks in Redis: each with a token, so that nobody gives back another's, and an end of its own.

Whatever goes wrong is an answer, "cannot say", and a count in `candor_cache_errors_total`; after
some failures in a row Redis is not asked for a while. A lock says who works, never who is right:
where two believe that they have it, both compute the same answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from candor.engine.breaker import Breaker
from candor.engine.digest import SCHEMA
from candor.engine.redis_cache import reason_of
from candor.engine.redis_client import FAILURES, RedisClient, heeded
from candor.metrics import Metrics

__all__ = ["RedisLocks"]

_RENEW: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] "
    "then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"
)
_GIVE_BACK: Final = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) "
    "else return 0 end"
)


class RedisLocks:
    """Locks under `candor:<namespace>:<schema>:lock:<key>`; the cache closes the client."""

    def __init__(
        self,
        client: RedisClient,
        metrics: Metrics,
        *,
        namespace: str,
        timeout_s: float = 0.1,
        cooldown_s: float = 2.0,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._prefix = f"candor:{namespace}:{SCHEMA}:lock:"
        self._timeout_s = timeout_s
        self._breaker = Breaker(cooldown_s=cooldown_s)

    async def take(self, key: str, token: str, lease_s: float) -> bool | None:
        """Whether the lock is ours from now on, for the lease; None where Redis cannot say."""
        lease_ms = _milliseconds(lease_s)
        name = self._prefix + key
        # With NX the answer is None where somebody has it.
        return await self._asked(lambda: self._client.set(name, token, nx=True, px=lease_ms))

    async def renew(self, key: str, token: str, lease_s: float) -> bool | None:
        """Lengthen the lease to its full length from now on; False where the lock is not ours."""
        return await self._evaluated(_RENEW, key, token, str(_milliseconds(lease_s)))

    async def give_back(self, key: str, token: str) -> bool | None:
        """Free the lock, if it is ours; False where it is not."""
        return await self._evaluated(_GIVE_BACK, key, token)

    async def _evaluated(self, script: str, key: str, *arguments: str) -> bool | None:
        return await self._asked(
            lambda: self._client.eval(script, 1, self._prefix + key, *arguments)
        )

    async def _asked(self, command: Callable[[], Awaitable[Any]]) -> bool | None:
        if not self._breaker.admits():
            self._metrics.cache_error("redis", "open")
            return None
        try:
            with self._metrics.cache_op("redis", "lock"):
                async with asyncio.timeout(self._timeout_s):
                    answer = await heeded(command())
        except FAILURES as error:
            self._breaker.failed()
            self._metrics.cache_error("redis", reason_of(error))
            return None
        except asyncio.CancelledError:
            self._breaker.failed()  # it may have been the probe, which has to end somehow
            raise
        self._breaker.succeeded()
        return bool(answer)


def _milliseconds(seconds: float) -> int:
    return max(1, int(1000 * seconds))
