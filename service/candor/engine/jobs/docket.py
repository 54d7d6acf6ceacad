"""Who has which jobs under way, in Redis: how the jobs of a dead server are found.

    candor:<namespace>:job:<schema>:servers            servers that have, or had, any
    candor:<namespace>:job:<schema>:server:<server>    there while that server lives
    candor:<namespace>:job:<schema>:at:<server>        keys of those that it has

A hint and no more: whose a job is stands in its record.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from candor.engine.jobs.codec import SCHEMA
from candor.engine.jobs.shelf import asking, typed, unless_odd
from candor.engine.redis_client import RedisClient

__all__ = ["Docket"]

_AT_ONCE: Final = 64
"""Jobs of a dead server that one live one looks at together; which they are is left to chance."""
_KEPT_MS: Final = 7 * 86_400_000
_SERVER: Final = re.compile(rb"[0-9a-f]{16}")
_KEY: Final = re.compile(rb"[0-9a-f]{64}")


class Docket:
    """Servers and what they have; the shelf closes the client."""

    def __init__(self, client: RedisClient, *, namespace: str, timeout_s: float) -> None:
        """Put it on a client.

        Args:
            client: that of the shelf.
            namespace: separates those who share one Redis.
            timeout_s: for each question.
        """
        self._client: Any = client
        self._prefix = f"candor:{namespace}:job:{SCHEMA}:"
        self._timeout_s = timeout_s

    async def beat(self, server: str, lost_s: float) -> None:
        """Say that a server lives; it counts as dead when it says nothing for so long.

        Raises:
            Unavailable: Redis does not answer, as everywhere here.
        """
        async with asking(self._timeout_s):
            px = max(1, int(lost_s * 1000))
            await self._client.set(f"{self._prefix}server:{server}", b"", px=px)

    async def alive(self, servers: Collection[str]) -> set[str]:
        """Which of them live."""
        async with asking(self._timeout_s):
            pipeline = self._client.pipeline(transaction=False)
            for server in servers:
                pipeline.exists(f"{self._prefix}server:{server}")
            found = await pipeline.execute()
        return {server for server, there in zip(servers, found, strict=True) if there}

    async def gone(self, server: str) -> None:
        """Say that a server lives no longer."""
        async with asking(self._timeout_s):
            await self._client.delete(f"{self._prefix}server:{server}")

    async def attach(self, server: str, keys: Iterable[str]) -> None:
        """Note that a server has jobs."""
        async with asking(self._timeout_s):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.sadd(f"{self._prefix}servers", server)
            pipeline.pexpire(f"{self._prefix}servers", _KEPT_MS)
            pipeline.sadd(f"{self._prefix}at:{server}", *keys)
            pipeline.pexpire(f"{self._prefix}at:{server}", _KEPT_MS)
            for answer in await pipeline.execute(raise_on_error=False):
                unless_odd(answer)  # where something else stands there, the jobs run all the same

    async def detach(self, server: str, key: str) -> None:
        """Note that a server has a job no longer."""
        async with asking(self._timeout_s):
            await self._client.srem(f"{self._prefix}at:{server}", key)

    async def servers(self) -> set[str]:
        """Those that have jobs, or had some when they died."""
        async with asking(self._timeout_s):
            found = await typed(self._client.smembers(f"{self._prefix}servers"), set())
        return _sound(found, _SERVER)

    async def at(self, server: str) -> set[str]:
        """Keys of some of the jobs that a server has; none only where it has none."""
        async with asking(self._timeout_s):
            asked = self._client.srandmember(f"{self._prefix}at:{server}", _AT_ONCE)
            found = await typed(asked, [])
        return _sound(found, _KEY)

    async def forget(self, server: str) -> None:
        """Note that a server has no jobs, and will have none."""
        async with asking(self._timeout_s):
            await self._client.srem(f"{self._prefix}servers", server)


def _sound(found: Iterable[bytes], form: re.Pattern[bytes]) -> set[str]:
    return {member.decode() for member in found if form.fullmatch(member)}
