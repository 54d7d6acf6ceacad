"""Which work runs next: the order and the bounds, without threads.

Interactive work goes first, in order of arrival. Bulk works take turns, one slice each, at most
`ROTATION_PER_SLOT` a slot of them; the others wait in order of arrival, so that overload delays
the late rather than everybody. A slice starts only where fewer works run than there are slots;
interactive work already where fewer *interactive* works do.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

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
        self._interactive: deque[Work] = deque()
        self._rotation: deque[Work] = deque()
        self._waiting: deque[Work] = deque()
        self._running: dict[WorkClass, int] = {"interactive": 0, "bulk": 0}

    @property
    def n_interactive(self) -> int:
        """Interactive works that wait."""
        return len(self._interactive)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not (self._interactive or self._rotation or self._waiting) and not any(
            self._running.values()
        )

    def put(self, work: Work) -> None:
        """Queue a work, new or between two slices."""
        if work.work_class == "interactive":
            self._interactive.append(work)
        elif work.started or self._has_turn():
            self._rotation.append(work)
        else:
            self._waiting.append(work)
        work.state = "queued"
        self._metrics.queue_depth(work.model, work.work_class, 1)

    def take(self) -> Work | None:
        """The work to run now, if there is one and a slot for it."""
        if self._interactive and self._running["interactive"] < self._slots:
            work = self._interactive.popleft()
        elif self._rotation and sum(self._running.values()) < self._slots:
            work = self._rotation.popleft()
        else:
            return None
        work.state = "running"
        self._running[work.work_class] += 1
        self._metrics.queue_depth(work.model, work.work_class, -1)
        return work

    def put_back(self, work: Work) -> None:
        """Free the slot and queue the work for its next slice."""
        self._running[work.work_class] -= 1
        self.put(work)

    def end(self, work: Work) -> None:
        """Free the slot of a work that is done."""
        self._running[work.work_class] -= 1
        work.state = "done"
        self._promote()

    def remove(self, work: Work) -> None:
        """Take a queued work out."""
        for queue in (self._interactive, self._rotation, self._waiting):
            if work in queue:
                queue.remove(work)
                break
        work.state = "done"
        self._metrics.queue_depth(work.model, work.work_class, -1)
        self._promote()

    def remove_all(self) -> list[Work]:
        """Take every queued work out."""
        removed = [*self._interactive, *self._rotation, *self._waiting]
        for work in removed:
            self.remove(work)
        return removed

    def _has_turn(self) -> bool:
        turns = len(self._rotation) + self._running["bulk"]
        return turns < ROTATION_PER_SLOT * self._slots

    def _promote(self) -> None:
        while self._waiting and self._has_turn():
            self._rotation.append(self._waiting.popleft())
