"""Which job runs next: as many at a time as there are slots, callers in turn.

Those who wait here take no place in the house, so that the requests of people who stay on the line
still find one.
"""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Ticket", "Turnstile"]

_Waiting: TypeAlias = "tuple[int, int, Ticket, asyncio.Future[None]]"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One who wants to run.

    Attributes:
        caller: whose it is.
        priority: orders those of one caller; 1 goes first.
        at_most: how many of this caller's may run at a time; None: any number.
    """

    caller: str
    priority: int
    at_most: int | None = None


@dataclass(slots=True)
class _Caller:
    waiting: list[_Waiting] = field(default_factory=list)
    served: int = 0


class Turnstile:
    """Lets a number of jobs in; used from one event loop, no lock."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._count = itertools.count()
        self._callers: dict[str, _Caller] = {}
        self._inside: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncGenerator[None, None]:
        """Wait for a turn, and have it while the block runs."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        caller = self._callers.setdefault(ticket.caller, _Caller())
        entry = (ticket.priority, next(self._count), ticket, granted)
        heapq.heappush(caller.waiting, entry)
        self._admit()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                if entry in caller.waiting:
                    caller.waiting.remove(entry)
                    heapq.heapify(caller.waiting)
                self._tidy(ticket.caller)
            else:
                self._leave(ticket.caller)  # let in and called off in the same moment
            raise
        try:
            yield
        finally:
            self._leave(ticket.caller)

    def _admit(self) -> None:
        while self._free:
            ready = [name for name in self._callers if self._may_enter(name)]
            if not ready:
                return
            # Who has fewest inside, and of those who was let in least lately.
            name = min(ready, key=lambda each: (self._inside[each], self._callers[each].served))
            caller = self._callers[name]
            *_, granted = heapq.heappop(caller.waiting)
            if granted.cancelled():
                continue  # called off, and not yet gone
            caller.served = next(self._count)
            self._free -= 1
            self._inside[name] += 1
            granted.set_result(None)

    def _may_enter(self, name: str) -> bool:
        waiting = self._callers[name].waiting
        if not waiting:
            return False
        at_most = waiting[0][2].at_most
        return at_most is None or self._inside[name] < at_most

    def _leave(self, name: str) -> None:
        self._free += 1
        self._inside[name] -= 1
        self._admit()
        self._tidy(name)

    def _tidy(self, name: str) -> None:
        caller = self._callers.get(name)
        if caller is not None and not caller.waiting and not self._inside[name]:
            del self._callers[name], self._inside[name]
