"""What came of each request, kept in columns."""

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from candor.result import Array

__all__ = ["NOT_SENT", "OK", "Columns", "Sample", "Samples"]

OK = "ok"
NOT_SENT = "not_sent"


class Sample(NamedTuple):
    """One request.

    Attributes:
        ask: index of its kind in the mix.
        due_s: when it was due, in seconds from the stage's beginning.
        sent_s: when it was sent; behind `due_s` where this program did not keep up.
        ended_s: when its answer, or its error, was there.
        outcome: `ok`, the error's kind, or `not_sent` where too many were under way.
        cache: where its answers came from; empty for predictions and failures.
    """

    ask: int
    due_s: float
    sent_s: float
    ended_s: float
    outcome: str
    cache: str


class Columns(NamedTuple):
    """Samples as arrays, one entry each; times in seconds, float64."""

    ask: Array
    due: Array
    sent: Array
    ended: Array
    outcome: Array
    cache: Array


@dataclass(slots=True)
class Samples:
    """The samples of one stage; some fifty bytes each, so that none need be thrown away."""

    ask: "array[int]" = field(default_factory=lambda: array("l"))
    due: "array[float]" = field(default_factory=lambda: array("d"))
    sent: "array[float]" = field(default_factory=lambda: array("d"))
    ended: "array[float]" = field(default_factory=lambda: array("d"))
    outcome: list[str] = field(default_factory=list)
    cache: list[str] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Keep one."""
        self.ask.append(sample.ask)
        self.due.append(sample.due_s)
        self.sent.append(sample.sent_s)
        self.ended.append(sample.ended_s)
        self.outcome.append(sample.outcome)
        self.cache.append(sample.cache)

    def __len__(self) -> int:
        return len(self.outcome)

    def columns(self, since: int = 0) -> Columns:
        """Those from the given place on, copied."""
        return Columns(
            *(np.array(column[since:]) for column in (self.ask, self.due, self.sent, self.ended)),
            *(np.array(column[since:], dtype=object) for column in (self.outcome, self.cache)),
        )
