"""Single flight across replicas: a long explanation is computed by whoever has its lease.

The others wait for the answer to appear in the cache, and compute it themselves as soon as waiting
is no use: the lease was given back without an answer, or ran out with its holder; Redis cannot say;
or the time of somebody who waits here nears its end. So a lease saves work, and no request fails
or waits in vain because of one.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, TypeAlias

from candor.engine.entry import Entry
from candor.engine.redis_locks import RedisLocks
from candor.metrics import Metrics

__all__ = ["LEASE_S", "Lease", "Leases"]

LEASE_S: Final = 3.0
"""How long others wait for one who is lost; renewed three times in this."""

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.25

Look: TypeAlias = Callable[[], Awaitable[Entry | None]]


class Lease:
    """The right to compute, to be given back; `with lease:` does, behind the answer."""

    def __init__(self, end: Callable[[], None] | None) -> None:
        self._end = end

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._end is not None:
            self._end()


class Leases:
    """Those of one replica; every method runs on the event loop."""

    def __init__(
        self,
        locks: RedisLocks,
        stored: Callable[[], Awaitable[None]],
        metrics: Metrics,
        *,
        lease_s: float = LEASE_S,
    ) -> None:
        """Put the parts together.

        Args:
            locks: in the Redis that the replicas share.
            stored: waits until the answers so far are where others find them.
            metrics: counts how it went.
            lease_s: how long a lock outlives who does not renew it.
        """
        self._locks = locks
        self._stored = stored
        self._metrics = metrics
        self._lease_s = lease_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def turn(self, key: str, look: Look, begin_at_s: Callable[[], float]) -> Entry | Lease:
        """Wait while another replica computes; its answer, or the lease to compute it here.

        Args:
            key: of the answer.
            look: what the cache has under it.
            begin_at_s: monotonic instant from which waiting is no use; may change meanwhile.
        """
        token = secrets.token_hex(16)
        try:
            for number, pause_s in enumerate(_pauses()):
                ours = await self._locks.take(key, token, self._lease_s)
                # With the lock in hand too: its last holder may have stored just before.
                if ours is not None and (entry := await look()) is not None:
                    self._metrics.cache_lock("waited")
                    self._later(self._give_back(key, token))
                    return entry
                if ours:
                    self._metrics.cache_lock("took_over" if number else "computed")
                    return self._lease(key, token)
                if ours is None or time.monotonic() + pause_s > begin_at_s():
                    self._metrics.cache_lock("unreachable" if ours is None else "hurried")
                    return Lease(None)
                await asyncio.sleep(pause_s)
        except BaseException:
            # It may have been taken, and nobody here has heard of it.
            self._later(self._give_back(key, token))
            raise
        raise AssertionError("there is always another pause")

    async def close(self) -> None:
        """Finish what is being given back."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lease(self, key: str, token: str) -> Lease:
        renewing = asyncio.create_task(self._renew(key, token), name="candor-lease")
        return Lease(lambda: self._later(self._end(key, token, renewing)))

    async def _end(self, key: str, token: str, renewing: asyncio.Task[None]) -> None:
        # The answer first, or those who wait would find neither it nor the lock.
        await self._stored()
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        await self._give_back(key, token)

    async def _give_back(self, key: str, token: str) -> None:
        await self._locks.give_back(key, token)

    async def _renew(self, key: str, token: str) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            await self._locks.renew(key, token, self._lease_s)

    def _later(self, ending: Awaitable[None]) -> None:
        task = asyncio.ensure_future(ending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _pauses() -> Iterator[float]:
    """Short at first, since much is computed in a moment; no two replicas ask in step."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - spreads
        pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)
