"""Refusals where there is no room, with the time after which there may be."""

from typing import Final

from candor.errors import Overloaded
from candor.metrics import Metrics, WorkClass

__all__ = ["Shedding"]

_RETRY_S: Final = (0.05, 60.0)
_CLASS_NAMES: Final[dict[WorkClass, str]] = {
    "interactive": "predictions",
    "bulk": "long explanations",
}


class Shedding:
    """Knows what work costs lately, and says when to come back; callers hold the workers' lock."""

    def __init__(self, slots: int, metrics: Metrics) -> None:
        self._slots = slots
        self._metrics = metrics
        self._mean_s: dict[WorkClass, float] = {"interactive": 0.01, "bulk": 1.0}

    def learn(self, work_class: WorkClass, busy_s: float) -> None:
        """Take in what a work has cost: a mean that forgets."""
        self._mean_s[work_class] += 0.1 * (busy_s - self._mean_s[work_class])

    def queue_full(self, work_class: WorkClass, model: str, waiting: int) -> Overloaded:
        """There is no room for a newcomer."""
        self._metrics.shed(model, work_class, "queue_full")
        return self._try_again(
            work_class, waiting, f"{waiting} {_CLASS_NAMES[work_class]} are waiting already"
        )

    def crowded_out(self, work_class: WorkClass, model: str, waiting: int) -> Overloaded:
        """One who waits makes room for a caller who has less."""
        self._metrics.shed(model, work_class, "crowded_out")
        what = f"{waiting} {_CLASS_NAMES[work_class]} are waiting, this caller has most of them"
        return self._try_again(work_class, waiting, f"{what}, and another one has come")

    def _try_again(self, work_class: WorkClass, waiting: int, what: str) -> Overloaded:
        seconds = self._mean_s[work_class] * waiting / self._slots
        retry_after_s = round(min(max(seconds, _RETRY_S[0]), _RETRY_S[1]), 3)
        return Overloaded(f"{what}; try again in {retry_after_s:g} s", retry_after_s)
