"""Cut a row into the groups of positions that LIME keeps or removes.

Segments are numbered 0, 1, ... without gaps; -1 marks positions that are never removed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from candor.errors import InvalidInput, InvalidOption, TooLarge
from candor.explain.change_points import change_points
from candor.explain.layout import position_shape
from candor.explain.options import Lime, SegmentsKind
from candor.explain.question import Question
from candor.explain.subject import Geometry, Kind
from candor.explain.superpixels import consecutive, picture_cut
from candor.result import Array

__all__ = ["MOST_SEGMENTS", "Segmentation", "cut", "is_apart", "segments_kind", "ways_to_cut"]

MOST_SEGMENTS = 2000
"""The surrogate solves a system of this size; more is not an explanation either."""

_WAYS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("slic", "quickshift", "grid"),
        "series": ("change_points",),
        "tokens": (),
        "tabular": (),
    }
)


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A row cut into segments.

    Attributes:
        positions: int32, position-shaped, or row-shaped where channels are cut apart: the segment
            of each, -1 where it is never removed.
        n: how many segments there are.
        kind: slic, quickshift, grid, tokens, slices, change_points, features or given.
        n_channels: that were cut alike and apart, their segments numbered channel by channel.
    """

    positions: Array
    n: int
    kind: str
    n_channels: int = 1


def ways_to_cut(geometry: Geometry) -> tuple[str, ...]:
    """The ways, beside the usual one, that this kind of input can be cut in."""
    return _WAYS[geometry.kind]


def segments_kind(options: Lime, geometry: Geometry) -> SegmentsKind:
    """The `segments` option resolved: images are cut by slic unless told otherwise.

    Raises:
        InvalidOption: a way to cut another kind of input.
    """
    if options.segments not in ("auto", *_WAYS[geometry.kind]):
        known = " or ".join(f"'{way}'" for way in ("auto", *_WAYS[geometry.kind]))
        raise InvalidOption(
            f"lime.segments is '{options.segments}', which cuts another kind of input; this one is "
            f"{geometry.kind}, expected {known}"
        )
    return "slic" if geometry.kind == "image" and options.segments == "auto" else options.segments


def cut(question: Question, options: Lime, geometry: Geometry) -> Segmentation:
    """Cut the row as the options say, or take the caller's own segments.

    Raises:
        InvalidInput: the caller's segments are not integers of the positions' shape.
        InvalidOption: `segments` does not suit this kind of input.
        TooLarge: more than `MOST_SEGMENTS` segments.
    """
    row, apart = question.x[0], is_apart(options, geometry)
    n_channels = 1
    if question.segments is not None:
        shape = row.shape if apart else position_shape(row.shape, geometry)
        positions = _given(question.segments, shape)
        kind = "given"
    elif geometry.kind == "image":
        kind = str(segments_kind(options, geometry))
        positions = picture_cut(row, kind, options.n_segments, geometry)
    else:
        kind, divide = _DIVISIONS[geometry.kind, segments_kind(options, geometry)]
        positions = divide(row, options.n_segments, geometry)
        if apart:
            positions, n_channels = _channels_apart(positions, row, geometry)
    n = int(positions.max(initial=-1)) + 1
    if n > MOST_SEGMENTS:
        raise TooLarge(
            f"lime explains at most {MOST_SEGMENTS} segments, the row has {n}; shorten it, or send "
            "segments that group its positions"
        )
    return Segmentation(positions, n, kind, n_channels)


def _tokens(row: Array, _: int, geometry: Geometry) -> Array:
    real = np.ones(row.shape, bool) if geometry.pad is None else row != geometry.pad
    return np.where(real, np.cumsum(real) - 1, -1).astype(np.int32)


def _slices(row: Array, n_segments: int, geometry: Geometry) -> Array:
    """As Lime-For-Time: slices of equal length, rounded up; the last may be shorter."""
    (steps,) = position_shape(row.shape, geometry)
    return (np.arange(steps) // -(-steps // n_segments)).astype(np.int32)


def _changes(row: Array, n_segments: int, geometry: Geometry) -> Array:
    axis = geometry.channel_axis
    values = row[:, None] if axis is None else np.moveaxis(row, axis, -1)
    return change_points(values.astype(np.float64), n_segments)


def _features(row: Array, _: int, __: Geometry) -> Array:
    return np.arange(row.size, dtype=np.int32).reshape(row.shape)


_Divide = Callable[[Array, int, Geometry], Array]

_DIVISIONS: Mapping[tuple[Kind, SegmentsKind], tuple[str, _Divide]] = MappingProxyType(
    {
        ("tokens", "auto"): ("tokens", _tokens),
        ("series", "auto"): ("slices", _slices),
        ("series", "change_points"): ("change_points", _changes),
        ("tabular", "auto"): ("features", _features),
    }
)


def is_apart(options: Lime, geometry: Geometry) -> bool:
    """Whether each channel is cut by itself.

    Raises:
        InvalidOption: of what has no channels that lie in time.
    """
    if options.channels == "sum":
        return False
    if geometry.kind != "series":
        raise InvalidOption(
            f"lime.channels is 'keep', which removes a slice of one channel of a series; this is "
            f"{geometry.kind}, expected 'sum'"
        )
    return geometry.channel_axis is not None


def _channels_apart(slices: Array, row: Array, geometry: Geometry) -> tuple[Array, int]:
    axis = geometry.channel_axis or 0
    n_channels, n_slices = row.shape[axis], int(slices.max()) + 1
    numbered = slices + n_slices * np.arange(n_channels, dtype=np.int32)[:, None]
    return (numbered if axis == 0 else numbered.T), n_channels


def _given(segments: Array, shape: tuple[int, ...]) -> Array:
    if not np.issubdtype(segments.dtype, np.integer) or segments.shape != shape:
        raise InvalidInput(
            f"segments are {segments.dtype}{list(segments.shape)}, expected integers of the "
            f"positions' shape {list(shape)}"
        )
    return consecutive(segments)
