"""The nodes of a cluster, each with a health of its own: one that is dead costs what it held.

Commands go to one node at a time, in a pipeline: that neither waits for another node, nor has the
client forget what it knows of all of them where this one does not answer.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import SlotNotCoveredError

from candor.engine.breaker import Breaker
from candor.engine.redis_client import FAILURES

__all__ = ["NodeHealth", "Nodes"]

_PATIENCE: Final = 10
"""How much longer than a request those wait who look after the cluster, beside the requests."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Whether to ask one node, for reading and for writing."""

    reads: Breaker
    writes: Breaker


class Nodes:
    """What is known of the nodes; used from one event loop."""

    def __init__(self, client: RedisCluster, *, timeout_s: float, cooldown_s: float) -> None:
        self._client: Any = client
        self._patience_s = _PATIENCE * timeout_s
        self._cooldown_s = cooldown_s
        self._health: dict[str, NodeHealth] = {}

    @property
    def any_answers(self) -> bool:
        """Whether there is a node that is asked."""
        states = [health.reads.state for health in self._health.values()]
        return not states or "closed" in states

    @property
    def all_answer(self) -> bool:
        """Whether there is none that is not asked."""
        return all(health.reads.state == "closed" for health in self._health.values())

    async def by_node(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Positions of names by the node that has them.

        Raises:
            FAILURES: the nodes are not known, and none of them says.
        """
        await self._client.initialize()
        found: dict[str, list[int]] = {}
        for at, name in enumerate(names):
            with suppress(SlotNotCoveredError):  # nobody has it
                found.setdefault(self._client.get_node_from_key(name).name, []).append(at)
        return found

    def health(self, node: str) -> NodeHealth:
        """Of one node."""
        return self._health.setdefault(node, self._unknown())

    async def learn(self) -> None:
        """Learn which node has what now.

        Raises:
            FAILURES: not one of them says.
        """
        await self._client.initialize()
        await self._client.nodes_manager.initialize()

    async def look(self) -> bool:
        """Learn which node has what now, and which of them answer; whether all do.

        Raises:
            FAILURES: not one of them says.
        """
        async with asyncio.timeout(self._patience_s):
            await self.learn()
        nodes = {node.name: node for node in self._client.get_primaries()}
        self._health = {name: self._health.get(name, self._unknown()) for name in nodes}
        answers = await asyncio.gather(*(self._answers(node) for node in nodes.values()))
        for health, well in zip(self._health.values(), answers, strict=True):
            if well:
                health.reads.succeeded()
            elif health.reads.state == "closed":
                health.reads.failed()
        return all(answers)

    async def _answers(self, node: Any) -> bool:
        try:
            async with asyncio.timeout(self._patience_s):
                await node.execute_command("PING")
        except FAILURES:
            return False
        return True

    def _unknown(self) -> NodeHealth:
        return NodeHealth(
            Breaker(cooldown_s=self._cooldown_s), Breaker(cooldown_s=self._cooldown_s)
        )
