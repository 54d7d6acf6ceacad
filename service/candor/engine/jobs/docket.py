"""Who has which jobs under way, in Redis: how the jobs of a dead server are found.

    candor:<namespace>:job:<schema>:{servers}            servers that have, or had, any
    candor:<namespace>:job:<schema>:server:{<server>}    there while that server lives
    candor:<namespace>:job:<schema>:at:{<server>}        keys of those that it has

A hint and no more: whose a job is stands in its record. In a cluster all of it lies at two places,
and one of them is enough.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from candor.engine.jobs.asker import Asker, Command, known
from candor.engine.jobs.codec import SCHEMA
from candor.errors import Unavailable

__all__ = ["Docket"]

_AT_ONCE: Final = 64
"""Jobs of a dead server that one live one looks at together; which they are is left to chance."""
_KEPT_MS: Final = 7 * 86_400_000
_SERVER: Final = re.compile(rb"[0-9a-f]{16}")
_KEY: Final = re.compile(rb"[0-9a-f]{64}")


class Docket:
    """Servers and what they have."""

    def __init__(self, asker: Asker, *, namespace: str) -> None:
        """Put it on a Redis.

        Args:
            asker: asks it.
            namespace: separates those who share one Redis.
        """
        self._asker = asker
        self._prefix = f"candor:{namespace}:job:{SCHEMA}:"

    async def beat(self, server: str, lost_s: float) -> None:
        """Say that a server lives; it counts as dead when it says nothing for so long.

        Raises:
            Unavailable: nobody answers who keeps it, as everywhere here.
        """
        px = max(1, int(lost_s * 1000))
        await self._known([("SET", name, b"", "PX", px) for name in self._names("server", server)])

    async def alive(self, servers: Sequence[str]) -> set[str]:
        """Which of them live."""
        names = [self._names("server", server) for server in servers]
        found = await self._asker.ask([("EXISTS", name) for each in names for name in each])
        if found:
            known(found)
        n = self._asker.n_places
        of_server = (found[at : at + n] for at in range(0, len(found), n))
        return {server for server, said in zip(servers, of_server, strict=True) if _lives(said)}

    async def gone(self, server: str) -> None:
        """Say that a server lives no longer."""
        await self._known([("DEL", name) for name in self._names("server", server)])

    async def attach(self, server: str, keys: Sequence[str]) -> None:
        """Note that a server has jobs."""
        for names, members in (
            (self._names("servers"), (server,)),
            (self._names("at", server), tuple(keys)),
        ):
            commands: list[Command] = [("SADD", name, *members) for name in names]
            await self._known(commands + [("PEXPIRE", name, _KEPT_MS) for name in names])

    async def detach(self, server: str, key: str) -> None:
        """Note that a server has a job no longer."""
        await self._known([("SREM", name, key) for name in self._names("at", server)])

    async def servers(self) -> set[str]:
        """Those that have jobs, or had some when they died."""
        found = await self._known([("SMEMBERS", name) for name in self._names("servers")])
        return _sound(found, _SERVER)

    async def at(self, server: str) -> set[str]:
        """Keys of some of the jobs that a server has; none only where it has none."""
        names = self._names("at", server)
        return _sound(await self._known([("SRANDMEMBER", name, _AT_ONCE) for name in names]), _KEY)

    async def forget(self, server: str) -> None:
        """Note that a server has no jobs, and will have none."""
        await self._known([("SREM", name, server) for name in self._names("servers")])

    def _names(self, what: str, server: str = "") -> list[str]:
        # The list of all servers has a tag of its own.
        tags = self._asker.tags(server or what)
        return [f"{self._prefix}{what}:{tag}" if server else f"{self._prefix}{tag}" for tag in tags]

    async def _known(self, commands: Sequence[Command]) -> list[Any]:
        return known(await self._asker.ask(commands))


def _lives(said: Sequence[Any]) -> bool:
    """Whether anybody says so; and where nobody can say, nobody says that it is dead."""
    answers = [answer for answer in said if not isinstance(answer, Unavailable)]
    return any(answers) or not answers


def _sound(found: Iterable[Any], form: re.Pattern[bytes]) -> set[str]:
    members = {member for each in found for member in each or ()}
    return {member.decode() for member in members if form.fullmatch(member)}
