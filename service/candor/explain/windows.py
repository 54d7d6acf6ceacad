"""Sliding windows as unions of cells, so that covering one is removing segments.

Along each axis the windows' edges cut the positions into cells; every window is a run of them, and
the cells of all axes together are the segments that the model's perturbation program takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from candor.result import Array

__all__ = ["NONE", "Windows", "covering", "slide"]

NONE = -1
"""In place of a window's index: nothing is covered."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over positions of any number of axes, in captum's arrangement.

    Attributes:
        covers: for each axis, bool [windows, cells]: which cells a window covers.
        widths: for each axis, int [cells]: how many positions a cell spans.
    """

    covers: tuple[Array, ...]
    widths: tuple[Array, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many windows there are along each axis."""
        return tuple(len(cover) for cover in self.covers)

    @property
    def segments(self) -> Array:
        """The cell of each position, int64, position-shaped, row-major over the axes' cells."""
        cells = np.arange(np.prod([len(width) for width in self.widths]), dtype=np.int64)
        return self._widen(cells.reshape([len(width) for width in self.widths]))

    def ends(self, chosen: Array) -> Array:
        """Low and high end of each of m windows, int64 [m, 2, axes]; none covered: both 0."""
        at = np.unravel_index(np.maximum(chosen, 0), self.shape)
        found = np.zeros((len(chosen), 2, len(self.covers)), dtype=np.int64)
        for axis, (cover, width) in enumerate(zip(self.covers, self.widths, strict=True)):
            edges = np.concatenate([[0], np.cumsum(width)])
            first = cover.argmax(axis=1)
            low, high = edges[first], edges[first + cover.sum(axis=1)]
            found[:, 0, axis], found[:, 1, axis] = low[at[axis]], high[at[axis]]
        found[chosen == NONE] = 0
        return found

    def count_at(self, grid: Array) -> Array:
        """Sum a value of each window over the windows that cover a position, position-shaped."""
        return self._widen(_contract(grid, self.covers))

    def touched(self, positions: Array) -> Array:
        """Bool, window-shaped: whether a window covers any position that is True."""
        for axis, width in enumerate(self.widths):
            starts = np.concatenate([[0], np.cumsum(width)[:-1]])
            positions = np.logical_or.reduceat(positions, starts, axis=axis)
        return _contract(positions, [cover.T for cover in self.covers]) > 0

    def _widen(self, cells: Array) -> Array:
        for axis, width in enumerate(self.widths):
            cells = np.repeat(cells, width, axis=axis)
        return cells


def slide(shape: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> Windows:
    """Windows from position 0 in steps of stride; the last one is cut off at the edge, not moved.

    Source: captum's Occlusion: ceil((size - window) / stride) + 1 windows along each axis.
    """
    covers, widths = [], []
    for size, side, step in zip(shape, window, stride, strict=True):
        starts = np.arange(ceil((size - side) / step) + 1) * step
        ends = np.minimum(starts + side, size)
        edges = np.unique(np.concatenate([[0, size], starts, ends]))
        cells = edges[:-1]
        covers.append((cells >= starts[:, None]) & (cells < ends[:, None]))
        widths.append(np.diff(edges))
    return Windows(tuple(covers), tuple(widths))


def covering(windows: Windows, chosen: Array) -> Array:
    """The cells that each of m windows covers, bool [m, cells]; flat indices, none for `NONE`."""
    covered: Array = (chosen != NONE)[:, None]
    at = np.unravel_index(np.maximum(chosen, 0), windows.shape)
    for cover, index in zip(windows.covers, at, strict=True):
        covered = (covered[:, :, None] & cover[index][:, None, :]).reshape(len(chosen), -1)
    return covered


def _contract(grid: Array, covers: Sequence[Array]) -> Array:
    """Sum over windows along each axis: grid [w1, w2, ...], covers [w, c] -> [c1, c2, ...]."""
    total: Array = grid.astype(np.float64)
    for cover in covers:
        # the first axis goes, its cells come last: after all axes the order is as before
        total = np.tensordot(total, cover.astype(np.float64), axes=([0], [0]))
    return total
