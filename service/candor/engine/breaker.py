"""A circuit breaker: after some failures in a row nobody waits for a neighbour that is ill."""

import random
import time
from collections.abc import Callable
from typing import Literal

__all__ = ["Breaker", "BreakerState"]

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed until `threshold` failures in a row, open for a cool-down, then one probe decides.

    The cool-down is drawn anew each time (a quarter up or down), so that many replicas do not come
    back to a restarted neighbour in the same instant. Used from one event loop; no lock.
    """

    def __init__(
        self,
        threshold: int = 3,
        cooldown_s: float = 2.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._failures = 0
        self._retry_at: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """`half_open`: the cool-down is over and the next `admits` may let a probe through."""
        if self._retry_at is None:
            return "closed"
        return "half_open" if self._probing or self._clock() >= self._retry_at else "open"

    def admits(self) -> bool:
        """Whether to try; in `half_open` True for one caller, who must report how it went."""
        state = self.state
        if state == "half_open" and not self._probing:
            self._probing = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        """Report a success: closed."""
        self._failures = 0
        self._retry_at = None
        self._probing = False

    def failed(self) -> None:
        """Report a failure: open, if it was the probe or one too many."""
        self._failures += 1
        if self._probing or self._failures >= self._threshold:
            jitter = random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, guards nothing
            self._retry_at = self._clock() + self._cooldown_s * jitter
            self._probing = False
