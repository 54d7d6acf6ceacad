"""Cut a row into the groups of positions that LIME keeps or removes.

Segments are numbered 0, 1, ... without gaps; -1 marks positions that are never removed.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import skimage.segmentation

from candor.errors import InvalidInput, InvalidOption, TooLarge
from candor.explain.change_points import change_points
from candor.explain.layout import position_shape
from candor.explain.options import Lime, SegmentsKind
from candor.explain.question import Question
from candor.explain.subject import Geometry, Kind
from candor.result import Array

__all__ = ["MOST_SEGMENTS", "Segmentation", "cut", "segments_kind"]

MOST_SEGMENTS = 2000
"""The surrogate solves a system of this size; more is not an explanation either."""

_KEPT_CUTS = 64

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
        positions: int32, position-shaped: the segment of each, -1 where it is never removed.
        n: how many segments there are.
        kind: slic, quickshift, grid, tokens, slices, change_points, features or given.
    """

    positions: Array
    n: int
    kind: str


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
    row = question.x[0]
    if question.segments is not None:
        positions = _given(question.segments, position_shape(row.shape, geometry))
        kind = "given"
    elif geometry.kind == "image":
        kind = str(segments_kind(options, geometry))
        positions = _CUTS.get(row, kind, options.n_segments, geometry)
    else:
        kind, divide = _DIVISIONS[geometry.kind, segments_kind(options, geometry)]
        positions = divide(row, options.n_segments, geometry)
    n = int(positions.max(initial=-1)) + 1
    if n > MOST_SEGMENTS:
        raise TooLarge(
            f"lime explains at most {MOST_SEGMENTS} segments, the row has {n}; shorten it, or send "
            "segments that group its positions"
        )
    return Segmentation(positions, n, kind)


# Images: (picture [h, w, c] within 0..1, about how many) -> labels --------------------------------


def _slic(picture: Array, n_segments: int) -> Array:
    labels: Array = skimage.segmentation.slic(
        picture, n_segments=n_segments, start_label=0, channel_axis=-1
    )
    return labels


def _quickshift(picture: Array, _: int) -> Array:
    # what lime runs by default; its random_seed never reaches scikit-image, so that rng stays 42
    rgb = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture
    labels: Array = skimage.segmentation.quickshift(
        rgb, kernel_size=4, max_dist=200, ratio=0.2, rng=42, convert2lab=rgb.shape[-1] == 3
    )
    return labels


def _grid(picture: Array, n_segments: int) -> Array:
    height, width = picture.shape[:2]
    rows = int(np.clip(round(np.sqrt(n_segments * height / width)), 1, height))
    columns = int(np.clip(round(n_segments / rows), 1, width))
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    labels: Array = row[:, None] * columns + column[None, :]
    return labels


_PICTURE_CUTTERS: Mapping[str, Callable[[Array, int], Array]] = MappingProxyType(
    {"slic": _slic, "quickshift": _quickshift, "grid": _grid}
)


def _picture(row: Array, geometry: Geometry) -> Array:
    """The model's input as a picture: channels last, its whole range mapped to 0..1."""
    axis = geometry.channel_axis
    picture = row[..., None] if axis is None else np.moveaxis(row, axis, -1)
    picture = picture.astype(np.float64)
    low, high = float(picture.min()), float(picture.max())
    return np.ascontiguousarray((picture - low) / (high - low) if high > low else picture - low)


class _Cuts:
    """The latest segmentations by content: the same picture is often explained again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Array] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, row: Array, kind: str, n_segments: int, geometry: Geometry) -> Array:
        """Cut a picture, or remember how; the answer is shared and read-only, int32 [h, w]."""
        about = f"{kind} {n_segments} {row.shape} {row.dtype} {geometry.channel_axis}"
        content = hashlib.blake2b(row.tobytes(), digest_size=16)
        content.update(about.encode())
        key = content.digest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        labels = _PICTURE_CUTTERS[kind](_picture(row, geometry), n_segments)
        positions = _consecutive(labels)
        positions.flags.writeable = False
        with self._lock:
            self._kept[key] = positions
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return positions


_CUTS = _Cuts(_KEPT_CUTS)


# Everything else: (row, about how many, geometry) -> labels ---------------------------------------


def _tokens(row: Array, _: int, geometry: Geometry) -> Array:
    real = np.ones(row.shape, bool) if geometry.pad is None else row != geometry.pad
    return np.where(real, np.cumsum(real) - 1, -1).astype(np.int32)


def _slices(row: Array, n_segments: int, geometry: Geometry) -> Array:
    (steps,) = position_shape(row.shape, geometry)
    return (np.arange(steps) * min(n_segments, steps) // steps).astype(np.int32)


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


def _given(segments: Array, shape: tuple[int, ...]) -> Array:
    if not np.issubdtype(segments.dtype, np.integer) or segments.shape != shape:
        raise InvalidInput(
            f"segments are {segments.dtype}{list(segments.shape)}, expected integers of the "
            f"positions' shape {list(shape)}"
        )
    return _consecutive(segments)


def _consecutive(labels: Array) -> Array:
    """Renumber 0, 1, ... in the labels' own order; negative ones become -1."""
    known, index = np.unique(labels, return_inverse=True)
    n_negative = int(np.count_nonzero(known < 0))
    return np.maximum(index.reshape(labels.shape) - n_negative, -1).astype(np.int32)
