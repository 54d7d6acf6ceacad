"""A deadline is a point in time, so that passing it on never adds to it."""

import time
from dataclasses import dataclass

from candor.errors import DeadlineExceeded

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on the monotonic clock.

    Attributes:
        at_s: `time.monotonic()` at which the time is over; None never.
    """

    at_s: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """The deadline that lies this far ahead; None is no deadline."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    def remaining_s(self) -> float | None:
        """Seconds left, never under 0; None where there is no deadline."""
        return None if self.at_s is None else max(0.0, self.at_s - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.at_s is not None and time.monotonic() >= self.at_s

    def check(self) -> None:
        """Raise DeadlineExceeded if the time is over."""
        if self.expired:
            raise DeadlineExceeded("the deadline passed before the answer was ready")
