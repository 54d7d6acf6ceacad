"""Brief work that comes at the same time: one run for all of it, on the event loop.

A server that is asked faster than it answers has requests waiting that it has not seen: gRPC hands
them out one by one, three turns of the loop apart. So the first waits until for a few turns nobody
came. A turn in which nothing happens takes microseconds: who is alone hardly notices.
"""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final

from candor.engine.joint import Joint, Outcome, run_jointly
from candor.engine.workers import Workers
from candor.metrics import Metrics
from candor.spans import current

__all__ = ["Microbatcher"]

_QUIET_TURNS: Final = 6
_LONGEST_S: Final = 0.005
"""That anybody waits: of a turn, others may make something long."""
_MOST: Final = 16
"""Who runs together: everything else on the loop waits for it."""


@dataclass(slots=True)
class _Group:
    model: str
    came_s: list[float] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)
    futures: list[asyncio.Future[Any]] = field(default_factory=list)
    rows: int = 0
    n_seen: int = 0
    quiet_turns: int = 0


class Microbatcher:
    """Gathers brief work of equal keys; made and used on the event loop."""

    def __init__(self, workers: Workers, metrics: Metrics) -> None:
        """Wait for the first.

        Args:
            workers: whose spare slots the work is done in.
            metrics: told how long each piece of work waited for others.
        """
        self._workers = workers
        self._metrics = metrics
        self._groups: dict[Hashable, _Group] = {}

    async def answer(self, joint: Joint, model: str) -> Any:
        """Do a piece of work together with what else of its key comes meanwhile.

        Returns:
            What it answers; None, and nothing is done, where no slot can be spared, and for a
            request that is traced: the threads tell of what they do.
        """
        if current() is not None:
            return None
        group = self._groups.get(joint.key)
        if group is not None and group.rows + joint.rows > joint.max_rows:
            self._end(joint.key, group)
            group = None
        if group is None:
            group = self._groups[joint.key] = _Group(model)
            asyncio.get_running_loop().call_soon(self._look, joint.key, group)
        future = asyncio.get_running_loop().create_future()
        group.came_s.append(time.monotonic())
        group.joints.append(joint)
        group.futures.append(future)
        group.rows += joint.rows
        if group.rows >= joint.max_rows or len(group.joints) >= _MOST:
            self._end(joint.key, group)
        return await future

    def _look(self, key: Hashable, group: _Group) -> None:
        """Once a turn, until the group has run."""
        if self._groups.get(key) is not group:
            return
        came = len(group.joints) > group.n_seen
        group.n_seen = len(group.joints)
        group.quiet_turns = 0 if came else group.quiet_turns + 1
        late = time.monotonic() - group.came_s[0] > _LONGEST_S
        if late or group.quiet_turns >= _QUIET_TURNS:
            self._end(key, group)
        else:
            asyncio.get_running_loop().call_soon(self._look, key, group)

    def _end(self, key: Hashable, group: _Group) -> None:
        del self._groups[key]
        outcomes: list[Outcome] = [(None, None)] * len(group.joints)
        with self._workers.spare_slot() as free:
            if free:
                self._count(group)
                outcomes = run_jointly(group.joints)
        for future, (value, error) in zip(group.futures, outcomes, strict=True):
            if future.done():  # cancelled: nobody waits any more
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _count(self, group: _Group) -> None:
        now_s = time.monotonic()
        for came_s in group.came_s:
            self._metrics.queued(group.model, "interactive", now_s - came_s)
