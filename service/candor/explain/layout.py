"""Where positions and channels lie in a row: the one place that knows of nchw, nhwc, [t, f]."""

import numpy as np

from candor.explain.options import Channels
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["over_row", "position_shape", "spread", "sum_channels", "without_padding"]


def position_shape(row_shape: tuple[int, ...], geometry: Geometry) -> tuple[int, ...]:
    """Shape of a map: the row's without its channels (image [h, w], tokens [t], series [t])."""
    axis = geometry.channel_axis
    if axis is None:
        return row_shape
    return tuple(size for at, size in enumerate(row_shape) if at != axis)


def spread(positions: Array, geometry: Geometry) -> Array:
    """A value for each position, shaped so that it broadcasts over a row's channels."""
    axis = geometry.channel_axis
    return positions if axis is None else np.expand_dims(positions, axis)


def over_row(positions: Array, x: Array, geometry: Geometry) -> Array:
    """As `spread`, of what may have a value for each channel already; x is the row, [1, ...]."""
    return positions if positions.ndim == x.ndim - 1 else spread(positions, geometry)


def sum_channels(values: Array, geometry: Geometry, channels: Channels) -> Array:
    """Reduce attributions of the explained value [n, ...] to one per position, unless `keep`.

    The explained value of tokens is the embedding's output [n, t, d], whose last axis is summed.
    """
    axis = 1 if geometry.kind == "tokens" else geometry.channel_axis
    if channels == "keep" or axis is None:
        return values
    return np.asarray(values.sum(axis=axis + 1))


def without_padding(values: Array, x: Array, geometry: Geometry) -> Array:
    """Set what belongs to padding tokens to 0.

    Args:
        values: [m, t, ...], of the explained value.
        x: [m, t] or [1, t], the rows in the model's input space.
        geometry: of a row; without a padding token nothing changes.
    """
    if geometry.pad is None:
        return values
    words = (x != geometry.pad).reshape(*x.shape, *[1] * (values.ndim - x.ndim))
    return np.where(words, values, 0)
