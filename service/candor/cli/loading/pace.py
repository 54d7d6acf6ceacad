"""When requests are sent: stages of a closed or an open loop.

In a closed loop each caller sends its next request when the last one is answered: a slow server is
asked less often, and its latencies look better than its users find them. In an open loop requests
come when they come, as from many independent users; latency counts from the moment at which the
request was due, so that waiting behind a stalled one is not left out ("coordinated omission").
"""

from dataclasses import dataclass

import numpy as np

from candor.cli.exits import UsageError
from candor.result import Array

__all__ = ["Closed", "Open", "Stage", "due_times", "parse_concurrency", "parse_rate"]


@dataclass(frozen=True, slots=True)
class Closed:
    """So many callers, each waiting for its answer before it asks again."""

    callers: int

    @property
    def name(self) -> str:
        """In tables and reports."""
        return f"{self.callers} caller{'s' if self.callers > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Open:
    """So many requests a second, from `start` to `end` in a straight line."""

    start: float
    end: float

    @property
    def name(self) -> str:
        """In tables and reports."""
        if self.start == self.end:
            return f"{self.start:g}/s"
        return f"{self.start:g}/s to {self.end:g}/s"


Stage = Closed | Open


def parse_concurrency(text: str) -> tuple[Closed, ...]:
    """Read `8` or `1,2,4`: a stage for each number of callers.

    Raises:
        UsageError: something else than whole numbers from 1 up.
    """
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) >= 1 for word in words):
        raise UsageError(f"--concurrency is '{text}'; expected whole numbers from 1: 8, or 1,2,4")
    return tuple(Closed(int(word)) for word in words)


def parse_rate(text: str) -> tuple[Open, ...]:
    """Read `50`, `10,20,40` (a stage for each) or `10:100` (a ramp).

    Raises:
        UsageError: something else than positive numbers in these forms.
    """
    return tuple(_open(word, text) for word in text.split(","))


def due_times(stage: Open, seconds: float, rng: np.random.Generator, *, steady: bool) -> Array:
    """When each request of a stage is due, in seconds from its beginning.

    The arrivals of a Poisson process of unit rate (steady: 1/2, 3/2, ...) are sent through the
    inverse of the integrated rate, start t + (end - start) t^2 / (2 seconds).

    Returns:
        float64 [k], ascending, all below `seconds`.
    """
    expected = (stage.start + stage.end) / 2 * seconds
    if steady:
        unit = np.arange(np.ceil(expected)) + 0.5
    else:
        gaps = rng.exponential(size=int(expected + 10 * np.sqrt(expected) + 20))
        unit = np.cumsum(gaps)
    unit = unit[unit < expected]
    slope = (stage.end - stage.start) / seconds
    # Two forms of the same root; this one does not divide by a slope of nought.
    due: Array = 2 * unit / (stage.start + np.sqrt(stage.start**2 + 2 * slope * unit))
    return due


def _open(word: str, text: str) -> Open:
    ends = [_positive(end, text) for end in word.split(":")]
    if len(ends) > 2:
        raise UsageError(f"--rate is '{text}'; a ramp has two ends: 10:100")
    return Open(ends[0], ends[-1])


def _positive(word: str, text: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise UsageError(f"--rate is '{text}'; expected requests a second: 50, or 10,20, or 10:100")
    return rate
