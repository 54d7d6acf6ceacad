"""What explanations have cost lately, to say what the next one would."""

import time
from collections.abc import Generator
from typing import Final, TypeVar

from candor.explain.question import Progress
from candor.result import Attribution

__all__ = ["Pace"]

T = TypeVar("T")

_FORGET: Final = 0.2

RELATIVE_COST: Final[dict[str, float]] = {"gradient": 3.0, "integrated_gradients": 3.0}
"""Of one evaluation, in forward passes, where none was measured yet; 1 for the other methods."""


class Pace:
    """Seconds of computing per evaluation, by model digest and method.

    Written from the slots; a lost update between two threads costs a little accuracy, no more.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = {}

    def note(self, digest: str, method: str, evaluations: int, seconds: float) -> None:
        """Learn from work that was done."""
        each = seconds / max(1, evaluations)
        known = self._seconds.get((digest, method), each)
        self._seconds[digest, method] = known + _FORGET * (each - known)

    def seconds(self, digest: str, method: str) -> float | None:
        """Per evaluation; from the model's predictions where the method was never run."""
        known = self._seconds.get((digest, method))
        if known is not None:
            return known
        forward = self._seconds.get((digest, "predict"))
        return None if forward is None else forward * RELATIVE_COST.get(method, 1.0)

    def timed(
        self, digest: str, steps: Generator[Progress, None, Attribution]
    ) -> Generator[Progress, None, Attribution]:
        """The same steps, learnt from when they have come to their end."""
        busy_s = 0.0
        try:
            while True:
                began = time.perf_counter()
                try:
                    progress = next(steps)
                except StopIteration as end:
                    return self._noted(digest, end.value, busy_s + time.perf_counter() - began)
                busy_s += time.perf_counter() - began
                yield progress
        finally:
            steps.close()

    def _noted(self, digest: str, attribution: Attribution, busy_s: float) -> Attribution:
        evaluations = attribution.trust.get("n_evaluations")
        if isinstance(evaluations, int):
            self.note(digest, attribution.method, evaluations, busy_s)
        return attribution
