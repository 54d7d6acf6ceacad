"""Which work runs next: the order and the bounds, without threads.

Interactive work goes first. Within each class, `turns` says who is next, so that neither a model
nor a caller that asks much keeps the others waiting. Of bulk works at most `ROTATION_PER_SLOT` a
slot take turns, one slice each, beside one for everybody who has none; the others wait, so that
overload delays the late rather than everybody. A slice starts only where fewer works run than
there are slots; interactive work already where fewer *interactive* works do.

Interactive works of one kind leave the queue together, up to the rows that one run takes. Those
that may wait for company do so outside of the queue, until there is enough of it or time is over.
"""

import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from candor.engine.turns import Turns
from candor.engine.work import Work
from candor.metrics import Metrics, WorkClass

__all__ = ["ROTATION_PER_SLOT", "Limits", "Queues"]

ROTATION_PER_SLOT: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What the workers take on.

    Attributes:
        slots: works that run at the same time; the cores that the process may use.
        predict_queue: pieces of interactive work that may wait.
        explain_queue: bulk requests that may be in the house beside one for each slot.
    """

    slots: int
    predict_queue: int = 256
    explain_queue: int = 64


class Queues:
    """The works that wait and the number that run; callers hold the workers' lock."""

    def __init__(self, slots: int, metrics: Metrics) -> None:
        self._slots = slots
        self._metrics = metrics
        self._interactive: Turns[Work] = Turns()
        self._gathering: dict[Hashable, list[Work]] = {}
        self._rotation: Turns[Work] = Turns()
        self._waiting: list[Work] = []
        self._shares: Counter[tuple[str, ...]] = Counter()
        self._running: dict[WorkClass, int] = {"interactive": 0, "bulk": 0}

    @property
    def n_interactive(self) -> int:
        """Interactive works that wait."""
        gathering = sum(map(len, self._gathering.values())) if self._gathering else 0
        return len(self._interactive) + gathering

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not any(self._queued()) and not any(self._running.values())

    def put(self, work: Work) -> None:
        """Queue a work, new or between two slices."""
        if work.work_class == "interactive":
            self._put_interactive(work)
        elif work.has_turn or self._may_have_turn(work):
            self._put_bulk(work)
        else:
            self._waiting.append(work)
        work.state = "queued"
        self._metrics.queue_depth(work.model, work.work_class, 1)

    def take(self) -> list[Work]:
        """The work to run now, with those that share its run; [] where there is none, or no slot.

        Works that gather company come into the queue here, once their time is over.
        """
        if self._gathering:
            self._release(time.monotonic())
        if self._interactive and self._running["interactive"] < self._slots:
            taken = self._together(self._interactive.take())
        elif self._rotation and sum(self._running.values()) < self._slots:
            taken = [self._rotation.take()]
        else:
            return []
        for work in taken:
            work.state = "running"
            self._metrics.queue_depth(work.model, work.work_class, -1)
        self._running[taken[0].work_class] += 1
        return taken

    def wait_s(self) -> float | None:
        """Seconds until works that gather company will go without more; None where there are none.

        0 where they would go now, were there a slot.
        """
        if not self._gathering:
            return None
        first = min(works[0].gathers_until_s for works in self._gathering.values())
        return max(0.0, first - time.monotonic())

    def enter(self) -> bool:
        """Take a slot for interactive work that never waits; False where it would have to."""
        free = not self.n_interactive and self._running["interactive"] < self._slots
        self._running["interactive"] += free
        return free

    def leave(self) -> bool:
        """Free the slot that was entered; whether somebody may be waiting for it."""
        self._running["interactive"] -= 1
        return bool(self._interactive or self._rotation)

    def put_back(self, work: Work, seconds: float) -> None:
        """Free the slot after a slice of this length, and queue the work for its next."""
        self._running[work.work_class] -= 1
        self._rotation.ended(work, seconds)
        self.put(work)

    def end(self, works: list[Work], seconds: float) -> None:
        """Free the slot of works that are done, after a run of this length."""
        self._running[works[0].work_class] -= 1
        rows = sum(work.rows for work in works)
        for work in works:
            turns = self._interactive if work.work_class == "interactive" else self._rotation
            turns.ended(work, seconds * work.rows / rows)
            self._leave(work)
        self._promote()

    def remove(self, work: Work) -> None:
        """Take a queued work out."""
        gathering = self._gathering.get(work.joint.key, []) if work.joint else []
        if work in gathering:
            gathering.remove(work)
            if work.joint and not gathering:
                del self._gathering[work.joint.key]
        elif work in self._waiting:
            self._waiting.remove(work)
        else:
            turns = self._interactive if work.work_class == "interactive" else self._rotation
            turns.remove(work)
        self._leave(work)
        self._metrics.queue_depth(work.model, work.work_class, -1)
        self._promote()

    def remove_all(self) -> list[Work]:
        """Take every queued work out."""
        removed = [work for works in self._queued() for work in works]
        for work in removed:
            self.remove(work)
        return removed

    def rival(self, work: Work) -> Work | None:
        """The interactive work that makes room for this one, where its caller waits for more."""
        return self._interactive.rival(work.path)

    def _queued(self) -> list[list[Work]]:
        queues = [list(self._interactive), list(self._rotation), self._waiting]
        return [*queues, *self._gathering.values()]

    # Company ------------------------------------------------------------------------------------

    def _put_interactive(self, work: Work) -> None:
        joint = work.joint
        if joint is None or joint.delay_s <= 0:
            self._interactive.put(work)
            return
        gathering = self._gathering.setdefault(joint.key, [])
        gathering.append(work)
        if sum(other.rows for other in gathering) >= joint.max_rows:
            self._gather_no_more(joint.key)

    def _release(self, now_s: float) -> None:
        for key in [
            key for key, works in self._gathering.items() if works[0].gathers_until_s <= now_s
        ]:
            self._gather_no_more(key)

    def _gather_no_more(self, key: Hashable) -> None:
        for work in self._gathering.pop(key):
            self._interactive.put(work)

    def _together(self, first: Work) -> list[Work]:
        joint = first.joint
        together = [first]
        if joint is None or not self._interactive or first.rows >= joint.max_rows:
            return together
        rows = first.rows
        for other in list(self._interactive.beside(first)):
            fits = other.joint is not None and other.joint.key == joint.key
            if fits and rows + other.rows <= joint.max_rows:
                self._interactive.remove(other)
                self._interactive.began(other)
                together.append(other)
                rows += other.rows
        return together

    # Turns of bulk works ------------------------------------------------------------------------

    def _may_have_turn(self, work: Work) -> bool:
        free = self._shares.total() < ROTATION_PER_SLOT * self._slots
        return free or not self._shares[work.path]

    def _put_bulk(self, work: Work) -> None:
        if not work.has_turn:
            work.has_turn = True
            self._shares[work.path] += 1
        self._rotation.put(work)

    def _leave(self, work: Work) -> None:
        work.state = "done"
        if work.has_turn:
            self._shares[work.path] -= 1
            if not self._shares[work.path]:
                del self._shares[work.path]

    def _promote(self) -> None:
        while self._waiting:
            # Whoever has the fewest turns; among them the most urgent, then who came first.
            work = min(self._waiting, key=lambda each: (self._shares[each.path], each.priority))
            if not self._may_have_turn(work):
                return
            self._waiting.remove(work)
            self._put_bulk(work)
