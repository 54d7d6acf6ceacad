"""Questions to Redis about jobs, several at a time, each answered or not for itself.

A cluster loses nodes one by one. So there whatever is kept has two places, about half of the slots
apart, which hardly ever are one node's; and those who ask one node do not wait for another.
"""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from redis.asyncio import RedisCluster
from redis.crc import key_slot
from redis.exceptions import ResponseError

from candor.engine.breaker import Breaker
from candor.engine.redis_client import FAILURES, RedisClient
from candor.engine.redis_nodes import Nodes
from candor.errors import Unavailable

__all__ = ["NODE_AWAY", "Asker", "Command", "known", "sure"]

Command: TypeAlias = tuple[str | bytes | int | float, ...]
"""Words of one command, of one key."""

_SLOTS: Final = 16384
_COOLDOWN_S: Final = 2.0
_WHO_KNOWS: Final = "does not answer at the moment: only the server that runs a job can tell of it"
NODE_AWAY: Final = (
    f"jobs are kept in Redis, of which the node that would have this one {_WHO_KNOWS}"
)
"""Said of a cluster."""
_AWAY: Final = f"jobs are kept in Redis, which {_WHO_KNOWS}"


class Asker:
    """Asks one Redis, or the nodes of a cluster; owns its client."""

    def __init__(self, client: RedisClient, *, timeout_s: float) -> None:
        """Put it on a client.

        Args:
            client: with time-outs that answers of many megabytes keep to.
            timeout_s: for each question.
        """
        self._client: Any = client
        self._timeout_s = timeout_s
        self._nodes: Nodes | None = None
        if isinstance(client, RedisCluster):
            self._nodes = Nodes(client, timeout_s=timeout_s, cooldown_s=_COOLDOWN_S)

    @property
    def n_places(self) -> int:
        """How many places there are for whatever is kept."""
        return 1 if self._nodes is None else 2

    def tag(self, name: str, place: int) -> str:
        """What decides, as a part of a key, on which node that is; `place` counts on and on."""
        return f"{{{name}}}" if place % self.n_places == 0 else f"{{{_elsewhere(name)}}}"

    def tags(self, name: str) -> list[str]:
        """One for each of its places."""
        return [self.tag(name, place) for place in range(self.n_places)]

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answer of each, Unavailable in its place where there is none; raises nothing.

        Of a value of another type than the command is for as little is said as of none: None.
        """
        answers: list[Any] = [None] * len(commands)
        groups = await self._by_node(commands)
        asked = [
            self._ask_one([commands[at] for at in positions], breaker)
            for breaker, positions in groups
        ]
        for (_, positions), found in zip(groups, await asyncio.gather(*asked), strict=True):
            for at, answer in zip(positions, found, strict=True):
                answers[at] = answer
        placed = {at for _, positions in groups for at in positions}
        for at in set(range(len(commands))) - placed:
            answers[at] = self._unavailable(None)
        return answers

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _by_node(
        self, commands: Sequence[Command]
    ) -> list[tuple[Breaker | None, Sequence[int]]]:
        if self._nodes is None:
            return [(None, range(len(commands)))]
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._nodes.by_node([_name(command) for command in commands])
        except FAILURES:
            return []
        return [(self._nodes.health(node).reads, positions) for node, positions in found.items()]

    async def _ask_one(self, commands: Sequence[Command], breaker: Breaker | None) -> list[Any]:
        """Ask one node."""
        if breaker is not None and not breaker.admits():
            return [self._unavailable(None)] * len(commands)
        try:
            async with asyncio.timeout(self._timeout_s):
                pipeline = self._client.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                found = [_judged(each) for each in await pipeline.execute(raise_on_error=False)]
            failed = next((each for each in found if isinstance(each, FAILURES)), None)
        except FAILURES as error:
            failed = error
            found = [error] * len(commands)
        except asyncio.CancelledError:
            if breaker is not None:
                breaker.failed()  # it may have been the probe, which has to end somehow
            raise
        if breaker is not None:
            await self._note(breaker, well=failed is None)
        return [self._unavailable(each) if isinstance(each, FAILURES) else each for each in found]

    async def _note(self, breaker: Breaker, *, well: bool) -> None:
        if well:
            breaker.succeeded()
            return
        breaker.failed()
        if self._nodes is not None:
            with suppress(*FAILURES):
                async with asyncio.timeout(self._timeout_s):
                    await self._nodes.learn()  # another may have taken its place

    def _unavailable(self, cause: BaseException | None) -> Unavailable:
        error = Unavailable(_AWAY if self._nodes is None else NODE_AWAY)
        error.__cause__ = cause
        return error


def sure(answer: Any) -> Any:
    """An answer.

    Raises:
        Unavailable: there is none.
    """
    if isinstance(answer, Unavailable):
        raise answer
    return answer


def known(answers: Iterable[Any]) -> list[Any]:
    """Those of several places that there are.

    Raises:
        Unavailable: there is none.
    """
    given = list(answers)
    found = [answer for answer in given if not isinstance(answer, Unavailable)]
    if given and not found:
        raise given[0]
    return found


def _judged(answer: Any) -> Any:
    odd = isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")
    return None if odd else answer


def _name(command: Command) -> str:
    return str(command[3] if command[0] == "EVAL" else command[1])


def _elsewhere(name: str) -> str:
    """A name of which the slot is about half of all away from this one's, as one in eight is."""
    slot = key_slot(name.encode())
    others = (f"{name}.{number}" for number in itertools.count())
    return next(other for other in others if _apart(slot, key_slot(other.encode())))


def _apart(one: int, other: int) -> bool:
    return abs((other - one) % _SLOTS - _SLOTS // 2) <= _SLOTS // 16
