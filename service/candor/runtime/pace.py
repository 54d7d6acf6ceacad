"""How many samples make a slice of bounded time; learnt from the runs themselves."""

from collections.abc import Iterator

__all__ = ["SLICE_S", "Pace"]

SLICE_S = 0.020
"""Aim of a slice: under the 25 ms that interactive work may have to wait for it."""

_FIRST_ROWS = 8
_MOST_ROWS = 256
_MEMORY = 0.7
"""Weight of the past in the running mean: a run disturbed by a neighbour soon stops counting."""


class Pace:
    """The measured time of a sample; shared by the bulk programs of one model.

    Concurrent runs may race on the mean: either's value is a fair one, so there is no lock.
    """

    def __init__(self) -> None:
        self._row_s: float | None = None

    def note(self, rows: int, seconds: float) -> None:
        """Learn from a run of this many rows."""
        row_s = seconds / max(1, rows)
        known = self._row_s
        self._row_s = row_s if known is None else _MEMORY * known + (1 - _MEMORY) * row_s

    def rows(self) -> int:
        """How many rows the next slice should have."""
        if self._row_s is None:
            return _FIRST_ROWS
        return max(1, min(_MOST_ROWS, int(SLICE_S / max(self._row_s, 1e-9))))

    def slices(self, n: int) -> Iterator[slice]:
        """Cut n samples into consecutive slices; each is sized when it is asked for."""
        start = 0
        while start < n:
            stop = min(n, start + self.rows())
            yield slice(start, stop)
            start = stop
