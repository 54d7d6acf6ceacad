"""Rows of a patch and of what is round it, in a matrix: which they are, and in which order read.

The patch's rows come first, and below those of all windows what it lacks to be a box: whole lines
above and below it, then of its own lines what is left and right of it. Series count as pictures of
one line.
"""

from typing import NamedTuple, Self

import numpy as np

from candor.result import Array
from candor.runtime.programs.indices import BELOW

__all__ = ["Placed", "Slide", "lacking", "ordered", "raster", "rows_of"]

_Ends = tuple[int, ...]


class Slide(NamedTuple):
    """How windows are read: an entry an axis."""

    strides: _Ends
    kernel: _Ends
    dilations: _Ends

    @classmethod
    def of_one(cls, n_axes: int) -> Self:
        """Windows of one position each."""
        return cls(*[(1,) * n_axes] * 3)


class Placed(NamedTuple):
    """A patch in a box, which it may reach beyond: an entry an axis.

    Attributes:
        size: of the patch.
        offset: where it begins in the box.
        extents: of the box.
    """

    size: _Ends
    offset: _Ends
    extents: _Ends

    @classmethod
    def of(cls, numbers: _Ends) -> Self:
        """From size, offset and extents one after the other."""
        n = len(numbers) // 3
        return cls(numbers[:n], numbers[n : 2 * n], numbers[2 * n :])

    def lines(self) -> Self:
        """With the axis of lines that a series does not have."""
        if len(self.size) == 2:
            return self
        return type(self)((1, *self.size), (0, *self.offset), (1, *self.extents))


def rows_of(placed: Array) -> Array:
    """How many rows patches have, and how many they lack: int64 [windows, 2].

    Args:
        placed: `Placed` of each, int64 [windows, 3 * axes].
    """
    size, offset, extents = np.split(placed, 3, axis=1)
    first = np.clip(offset, 0, extents)
    last = np.maximum(first, np.minimum(offset + size, extents))
    n, inside, own = (np.prod(each, axis=1) for each in (extents, last - first, size))
    return np.stack([own, n - inside], axis=1)


def lacking(placed: Placed, pitch: int) -> Array:
    """Where the rows that a patch lacks are, for a box at the beginning of a matrix; int32.

    Args:
        placed: the patch in the box.
        pitch: how many positions a line of the matrix has.
    """
    placed = placed.lines()
    (top, bottom), (left, right) = _overlaps(placed)
    lines, across = placed.extents
    rows = np.arange(lines, dtype=np.int32)[:, None] * pitch + np.arange(across, dtype=np.int32)
    parts = (rows[:top], rows[bottom:], rows[top:bottom, :left], rows[top:bottom, right:])
    return np.concatenate([part.ravel() for part in parts])


def ordered(placed: Placed, start: _Ends, results: _Ends, slide: Slide) -> Array:
    """The rows that windows over a box read, those of one window after the other's; int32.

    Windows that reach beyond the box read its last rows there.

    Args:
        placed: the patch in the box.
        start: where in the box the first window begins.
        results: how many windows there are.
        slide: the windows.
    """
    axes = list(zip(start, results, *slide, strict=True))
    y, x = [_taps(*axis) for axis in ([(0, 1, 1, 1, 1)] if len(axes) == 1 else []) + axes]
    rows = _rows(placed.lines())
    y, x = (np.minimum(each, n - 1) for each, n in zip((y, x), rows.shape, strict=True))
    read = (y * rows.shape[1])[:, None, :, None] + x[None, :, None, :]
    found: Array = rows.ravel().take(read.ravel())
    return found


def _rows(placed: Placed) -> Array:
    """Of each position of a box its row, counted from `BELOW` where the patch lacks it; int32."""
    (top, bottom), (left, right) = _overlaps(placed)
    found = np.empty(placed.extents, np.int32)
    row = BELOW
    for part in (
        found[:top], found[bottom:], found[top:bottom, :left], found[top:bottom, right:]
    ):  # fmt: skip
        part[...] = np.arange(row, row + part.size, dtype=np.int32).reshape(part.shape)
        row += part.size
    y, x = placed.offset
    own = np.arange(placed.size[0] * placed.size[1], dtype=np.int32).reshape(placed.size)
    found[top:bottom, left:right] = own[top - y : bottom - y, left - x : right - x]
    return found


def raster(low: _Ends, high: _Ends, extents: _Ends) -> Array:
    """The rows of a box's positions in a matrix for all positions; int32."""
    rows = np.arange(np.prod(extents), dtype=np.int32).reshape(extents)
    found: Array = rows[tuple(map(slice, low, high))].ravel()
    return found


def _overlaps(placed: Placed) -> list[tuple[int, int]]:
    """From where to where a patch lies in its box, on each axis."""
    found = []
    for size, offset, extent in zip(*placed, strict=True):
        first = min(max(offset, 0), extent)
        found.append((first, max(first, min(offset + size, extent))))
    return found


def _taps(start: int, results: int, stride: int, kernel: int, dilation: int) -> Array:
    """The positions along an axis that windows read, int32 [windows, kernel]."""
    windows = np.arange(start, start + results * stride, stride, dtype=np.int32)
    return windows[:, None] + np.arange(0, kernel * dilation, dilation, dtype=np.int32)
