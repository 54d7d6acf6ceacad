"""Where a map lies on the picture that was sent.

Invariant: the map's outer edges meet the box's edges, in the half-pixel convention that image
resizing uses; nothing outside the box is coloured.
"""

from typing import Literal

import numpy as np

from candor.result import Array, ImageView

__all__ = ["covered", "place", "scaled_view"]


def scaled_view(view: ImageView, width: int, height: int) -> ImageView:
    """The same view of the same picture, drawn in another size."""
    x, y = width / view.width, height / view.height
    left, top, right, bottom = view.box
    return ImageView(width, height, (left * x, top * y, right * x, bottom * y))


def place(values: Array, view: ImageView, between: Literal["bilinear", "nearest"]) -> Array:
    """The map [h, w] resampled to the picture: [view.height, view.width], edges held outside.

    Keeps the dtype where `between` is nearest, else returns float32.
    """
    left, top, right, bottom = view.box
    rows = _positions(view.height, top, bottom, values.shape[0])
    columns = _positions(view.width, left, right, values.shape[1])
    if between == "nearest":
        return np.asarray(values[np.ix_(_nearest(rows, values, 0), _nearest(columns, values, 1))])
    return _blend(_blend(values.astype(np.float32), rows, 0), columns, 1)


def covered(view: ImageView) -> Array:
    """Which of the picture's pixels have their centre inside the box: bool [height, width]."""
    left, top, right, bottom = view.box
    x, y = np.arange(view.width) + 0.5, np.arange(view.height) + 0.5
    return np.outer((y > top) & (y < bottom), (x > left) & (x < right))


def _positions(length: int, start: float, end: float, n: int) -> Array:
    """Where each pixel's centre falls among n cells between start and end; cell i's centre is i."""
    return np.asarray((np.arange(length) + 0.5 - start) / (end - start) * n - 0.5)


def _nearest(positions: Array, values: Array, axis: int) -> Array:
    return np.clip(np.floor(positions + 0.5), 0, values.shape[axis] - 1).astype(np.intp)


def _blend(values: Array, positions: Array, axis: int) -> Array:
    n = values.shape[axis]
    inside = np.clip(positions, 0, n - 1)
    low = np.minimum(np.floor(inside).astype(np.intp), max(n - 2, 0))
    weight = (inside - low).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight[None, :]
    high = np.minimum(low + 1, n - 1)
    below, above = np.take(values, low, axis), np.take(values, high, axis)
    return np.asarray(below * (1 - weight) + above * weight)
