"""What explanations have cost lately, to say what the next one would."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, TypeVar

from candor.explain.question import Progress
from candor.result import Attribution

__all__ = ["Pace"]

T = TypeVar("T")

_MEMORY: Final = 0.8
"""Weight of the past at each new figure."""

RELATIVE_COST: Final[dict[str, float]] = {"gradient": 3.0, "integrated_gradients": 3.0}
"""Of one evaluation, in forward passes, where none was measured yet; 1 for the other methods."""


@dataclass(frozen=True, slots=True)
class _Spent:
    """Computing so far; older work counts less."""

    seconds: float
    evaluations: float
    n_notes: int


class Pace:
    """Seconds of computing per evaluation, by model digest and method.

    Written from the slots; a lost update between two threads costs a little accuracy, no more.
    """

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], _Spent] = {}

    def note(self, digest: str, method: str, evaluations: int, seconds: float) -> None:
        """Learn from work that was done."""
        before = self._spent.get((digest, method), _Spent(0, 0, 0))
        # The first run of a method builds its program; it counts only until there is another.
        memory = 0.0 if before.n_notes == 1 else _MEMORY
        self._spent[digest, method] = _Spent(
            seconds + memory * before.seconds,
            max(1, evaluations) + memory * before.evaluations,
            before.n_notes + 1,
        )

    def seconds(self, digest: str, method: str) -> float | None:
        """Per evaluation; from the model's predictions where the method was never run."""
        spent = self._spent.get((digest, method))
        if spent is not None:
            return spent.seconds / spent.evaluations
        forward = self._spent.get((digest, "predict"))
        if forward is None:
            return None
        return forward.seconds / forward.evaluations * RELATIVE_COST.get(method, 1.0)

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
