"""What a run of windows is fed: for each place that reads by indices, those of all its windows.

Windows of a run stand one after the other in every matrix, whatever their sizes: what is round
them moves an index, and so do the rows of the windows before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from candor.result import Array
from candor.runtime.programs.reach import Boxes

__all__ = ["BELOW", "INDICES", "LENGTHS", "Feeder", "Given", "Key", "Places"]

INDICES: Final = "candor.indices"
LENGTHS: Final = "candor.lengths"

BELOW: Final = -(2**30)
"""Number of the first of the rows below all patches; what is less than 0 is one of those rows."""

_KEPT: Final = 2**23
"""Entries of vectors that are kept of a model, 4 bytes each."""

Key = tuple[int, ...]
_Of = Callable[[Sequence[Boxes]], Array]


class Given(NamedTuple):
    """A vector that is fed, of each window after the other.

    Attributes:
        keys: of all boxes: what it depends on, int64 [windows, numbers].
        made: a key's vector, int32.
        shift: of all boxes: what is added to it, int64 [windows]; None: nothing.
        rows: of all boxes: how many rows the window has itself in the matrix that is read, and how
            many below those of all windows, int64 [windows, 2]; None: it has none there.
    """

    keys: _Of
    made: Callable[[Key], Array]
    shift: _Of | None = None
    rows: _Of | None = None


class _Fed(NamedTuple):
    """Of one window: its vectors, and how long each is."""

    vectors: list[Array]
    lengths: Array


@dataclass(frozen=True, slots=True)
class Places:
    """Of windows, what their vectors are made of.

    Attributes:
        keys: of each window and vector.
        shifts: int64 [windows, vectors].
        rows: int64 [windows, vectors, 2].
        fed: of each window that was run what it was fed, but for what is added.
    """

    keys: list[tuple[Key, ...]]
    shifts: Array
    rows: Array
    fed: dict[int, _Fed] = field(default_factory=dict)


class Feeder:
    """Makes what a program is fed, and keeps vectors: windows of one size share most of theirs.

    Used by several threads at once a vector may be made twice; it is the same.
    """

    def __init__(self, given: Sequence[Given]) -> None:
        self._given = tuple(given)
        self._made: dict[tuple[int, Key], Array] = {}
        self._n_made = 0

    def places(self, boxes: Sequence[Boxes]) -> Places:
        """What tells where windows are; hardly longer for many than for one."""
        n = len(boxes[0][0])
        keys = [map(tuple, vector.keys(boxes).tolist()) for vector in self._given]
        shifts = np.zeros((n, len(self._given)), np.int64)
        rows = np.zeros((n, len(self._given), 2), np.int64)
        for number, vector in enumerate(self._given):
            if vector.shift is not None:
                shifts[:, number] = vector.shift(boxes)
            if vector.rows is not None:
                rows[:, number] = vector.rows(boxes)
        return Places(list(zip(*keys, strict=True)), shifts, rows)

    def fed(self, places: Places, chosen: Sequence[int]) -> dict[str, Array]:
        """Of m of these windows: the indices of all, and how many each has of each vector."""
        each = [places.fed.get(window) or self._window(places, window) for window in chosen]
        lengths = np.stack([fed.lengths for fed in each])
        rows = places.rows[chosen]
        before = np.cumsum(rows, axis=0) - rows
        own = places.shifts[chosen] + before[:, :, 0]
        below = rows[:, :, 0].sum(axis=0) + before[:, :, 1] - BELOW
        moved = [np.repeat(by.T.astype(np.int32), lengths.T.ravel()) for by in (below, own)]
        by_vector = zip(*(fed.vectors for fed in each), strict=True)
        indices = np.concatenate(list(chain.from_iterable(by_vector)))
        indices += np.where(indices < 0, *moved)
        return {INDICES: indices, LENGTHS: lengths}

    def _window(self, places: Places, window: int) -> _Fed:
        vectors = [self._vector(number, key) for number, key in enumerate(places.keys[window])]
        found = _Fed(vectors, np.array(list(map(len, vectors)), np.int64))
        places.fed[window] = found
        return found

    def _vector(self, number: int, key: Key) -> Array:
        found = self._made.get((number, key))
        if found is None:
            found = self._given[number].made(key)
            self._n_made += len(found)
            if self._n_made > _KEPT:
                self._made.clear()
                self._n_made = len(found)
            self._made[number, key] = found
        return found
