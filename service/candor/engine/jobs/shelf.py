"""Jobs in Redis: records, requests, answers, who is to be cancelled, which jobs a tenant has.

    candor:<namespace>:job:<schema>:{<key>}            a record, and beside it
    candor:<namespace>:job:<schema>:{<key>}:request    what was asked, while it is under way
    candor:<namespace>:job:<schema>:{<key>}:answer     its answer
    candor:<namespace>:job:<schema>:{<key>}:cancel     there while somebody wants it to end
    candor:<namespace>:job:<schema>:of:{<tenant>}      ids of a tenant's jobs by time

Unlike the cache, which is well served without Redis, this says so where Redis does not answer: by
Unavailable. A record is only ever put in the place of one that the writer has seen, so that of two
servers one learns that it is the other's.

In a cluster a job lies at one of two places, as its record says by how often it was moved; what
takes little room, lists and flags, lies at both.
"""

from collections.abc import Sequence
from typing import Any, Final

from candor.engine.jobs.asker import Asker, Command, known, sure
from candor.engine.jobs.codec import SCHEMA
from candor.engine.sealed import MAX_BODY_BYTES
from candor.errors import Unavailable

__all__ = ["MAX_LISTED", "Shelf", "Where"]

MAX_LISTED: Final = 1000
"""Jobs of one tenant that are kept; the oldest go first."""

Where = tuple[str, int]
"""The key of a job, and how often it was moved."""

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
    """What replicas know of each other's jobs."""

    def __init__(self, asker: Asker, *, namespace: str, ttl_s: float) -> None:
        """Put it on a Redis.

        Args:
            asker: asks it.
            namespace: separates those who share one Redis.
            ttl_s: how long what has ended is kept.
        """
        self._asker = asker
        self._prefix = f"candor:{namespace}:job:{SCHEMA}:"
        self._ttl_ms = max(1, int(ttl_s * 1000))

    @property
    def n_places(self) -> int:
        """Where a job may lie: more than one where another node may take what one does not."""
        return self._asker.n_places

    async def replace(
        self, where: Where, seen: bytes, record: bytes, *, ended: bool
    ) -> bytes | None:
        """Put a record where there is none, or the one that was seen.

        Returns:
            None where it stands there now; else what stands there.

        Raises:
            Unavailable: whoever keeps it does not answer, as everywhere here.
        """
        px = self._ttl_ms + (0 if ended else _UNDER_WAY_MS)
        found = await self._one(("EVAL", _REPLACE, 1, self._name(where), seen, record, px))
        return None if found is None else bytes(found)

    async def refresh(self, places: Sequence[Where]) -> tuple[set[str], set[str]]:
        """Keep records and requests of jobs under way; the keys of those that are not there.

        Or that cannot be reached: it is in writing them that this shows.
        """
        px = self._ttl_ms + _UNDER_WAY_MS
        commands: list[Command] = [("PEXPIRE", self._name(where), px) for where in places]
        commands += [("PEXPIRE", self._name(where, ":request"), px) for where in places]
        found = await self._asker.ask(commands)
        there = [not isinstance(answer, Unavailable) and bool(answer) for answer in found]
        records, requests = there[: len(places)], there[len(places) :]
        return (
            {key for (key, _), kept in zip(places, records, strict=True) if not kept},
            {key for (key, _), kept in zip(places, requests, strict=True) if not kept},
        )

    async def put_request(self, where: Where, request: bytes) -> None:
        """Store what was asked."""
        px = self._ttl_ms + _UNDER_WAY_MS
        await self._one(("SET", self._name(where, ":request"), request, "PX", px))

    async def request(self, where: Where) -> bytes:
        """What was asked; b"" where it is not there."""
        return await self._long(self._name(where, ":request"))

    async def drop_request(self, where: Where) -> None:
        """Forget what was asked."""
        await self._one(("DEL", self._name(where, ":request")))

    async def requests(self, places: Sequence[Where]) -> dict[str, int]:
        """How many bytes was asked of each of them; not of those where it is not there."""
        found = await self._asker.ask(
            [("STRLEN", self._name(where, ":request")) for where in places]
        )
        return {key: size for (key, _), size in zip(places, map(sure, found), strict=True) if size}

    async def record(self, where: Where) -> bytes:
        """What stands at one place; b"" for none."""
        found = await self._one(("GETRANGE", self._name(where), 0, _MAX_RECORD_BYTES))
        return bytes(found or b"")

    async def get(self, keys: Sequence[str]) -> list[list[bytes | None]]:
        """Of each key what stands at its places: b"" for no record, None for nobody can say."""
        n = self._asker.n_places
        found = await self._asker.ask(
            [
                ("GETRANGE", self._name((key, place)), 0, _MAX_RECORD_BYTES)
                for key in keys
                for place in range(n)
            ]
        )
        records = [None if isinstance(each, Unavailable) else bytes(each or b"") for each in found]
        if found:
            known(found)
        return [records[at : at + n] for at in range(0, len(records), n)]

    async def put_answer(self, where: Where, answer: bytes) -> None:
        """Store an answer."""
        await self._one(("SET", self._name(where, ":answer"), answer, "PX", self._ttl_ms))

    async def answer(self, where: Where) -> bytes:
        """An answer; b"" where there is none."""
        return await self._long(self._name(where, ":answer"))

    async def flag(self, key: str) -> None:
        """Ask whoever runs a job to cancel it."""
        names = self._names(key, ":cancel")
        known(await self._asker.ask([("SET", name, b"", "PX", _FLAG_MS) for name in names]))

    async def unflag(self, key: str) -> None:
        """Take back what was asked of a job of the same id before."""
        known(await self._asker.ask([("DEL", name) for name in self._names(key, ":cancel")]))

    async def flagged(self, places: Sequence[Where]) -> list[str]:
        """Which jobs are to be cancelled."""
        names = [self._name(where, ":cancel") for where in places]
        found = await self._asker.ask([("EXISTS", name) for name in names])
        asked = [not isinstance(answer, Unavailable) and bool(answer) for answer in found]
        return [key for (key, _), wanted in zip(places, asked, strict=True) if wanted]

    async def enlist(self, tenant: str, job_id: str, at: float) -> None:
        """Note that a tenant has a job, and forget its oldest where there are too many."""
        commands: list[Command] = []
        for name in self._lists(tenant):
            commands += [
                ("ZADD", name, at, job_id),
                ("ZREMRANGEBYRANK", name, 0, -MAX_LISTED - 1),
                ("PEXPIRE", name, self._ttl_ms + _LIST_MS),
            ]
        known(await self._asker.ask(commands))

    async def listed(self, tenant: str, limit: int) -> list[str]:
        """Ids of a tenant's jobs, those of the newest among them; some may be gone."""
        names = self._lists(tenant)
        found = known(await self._asker.ask([("ZREVRANGE", name, 0, limit - 1) for name in names]))
        members = dict.fromkeys(member for each in found for member in each or ())
        return [member.decode(errors="replace") for member in members]

    async def close(self) -> None:
        """Hang up."""
        await self._asker.close()

    def _name(self, where: Where, what: str = "") -> str:
        return f"{self._prefix}{self._asker.tag(*where)}{what}"

    def _names(self, key: str, what: str) -> list[str]:
        return [f"{self._prefix}{tag}{what}" for tag in self._asker.tags(key)]

    def _lists(self, tenant: str) -> list[str]:
        return [f"{self._prefix}of:{tag}" for tag in self._asker.tags(tenant)]

    async def _one(self, command: Command) -> Any:
        return sure((await self._asker.ask([command]))[0])

    async def _long(self, name: str) -> bytes:
        # Whatever stands there, no more than could be one of ours crosses the wire.
        found = await self._one(("GETRANGE", name, 0, MAX_BODY_BYTES + 4096))
        return bytes(found or b"")
