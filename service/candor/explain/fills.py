"""What stands where LIME has removed a segment: one word for each way, for each kind of input."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from candor.errors import InvalidOption
from candor.explain.baseline import absent_value
from candor.explain.blur import gaussian
from candor.explain.layout import over_row
from candor.explain.options import Fill
from candor.explain.subject import Geometry, Kind
from candor.explain.tabular import typical_record
from candor.result import Array

__all__ = ["resolve_fill", "segment_baseline"]


def resolve_fill(fill: Fill | float, geometry: Geometry, *, grouped: bool = False) -> Fill | float:
    """Settle what `auto` is for this kind of input, and call one thing by one name.

    A slice of time is short and smooth: its own mean is nearly (of one step exactly) itself, so
    that of a series `auto` is the mean of all its time. Records are drawn where the manifest knows
    the training data and the caller has not grouped the features, which lime draws one by one.

    Raises:
        InvalidOption: what this kind of input, or this model, does not have.
    """
    if not isinstance(fill, str):
        return fill
    if geometry.kind == "tabular":
        return _record_fill(fill, geometry, grouped=grouped)
    known = _FILLS[geometry.kind]
    if fill not in known:
        listed = ", ".join(f"'{name}'" for name in known)
        raise InvalidOption(
            f"lime.baseline is '{fill}', which {geometry.kind} input has not; expected {listed} or "
            "a number"
        )
    found = known[fill]
    return "padding" if found == "unknown" and geometry.unknown is None else found


def _record_fill(fill: Fill, geometry: Geometry, *, grouped: bool) -> Fill:
    usual: Fill = "zero" if not geometry.columns else "mean" if grouped else "training"
    found = usual if fill == "auto" else fill
    if found not in ("training", "mean", "zero"):
        raise InvalidOption(
            f"lime.baseline is '{fill}', which tabular input has not; expected 'auto', 'training', "
            "'mean', 'zero' or a number"
        )
    if found != "zero" and not geometry.columns:
        raise InvalidOption(
            f"lime.baseline is '{fill}', but the model's manifest has no input.statistics of its "
            "training data; use 'zero' or a number"
        )
    if found == "training" and grouped:
        raise InvalidOption(
            "lime.baseline is 'training', which draws every feature by itself, but the request "
            "groups them by segments; use 'mean', 'zero' or a number"
        )
    return found


def segment_baseline(
    x: Array, segments: Array, fill: Fill | float, geometry: Geometry, seed: int = 0
) -> Array:
    """What stands where a segment is absent, [1, ...] like x.

    Args:
        x: [1, ...], the row.
        segments: int, of each position or each value of the row; those below 0 are never removed
            and keep their value.
        fill: resolved; `mean` of each segment and channel (in float), `total_mean` of each channel,
            `noise` uniform between the least and the greatest value of each channel, a number of
            tokens an id.
        geometry: of the row.
        seed: of the noise.

    Raises:
        InvalidOption: a token id that is none.
    """
    by_value = over_row(segments, x, geometry)
    if fill == "noise":
        filled = _noise(seed, x, geometry)
    elif isinstance(fill, str):
        filled = _MAKERS[fill](x, by_value, geometry)
    else:
        filled = np.full_like(x, absent_value(fill, geometry))
    return np.where((by_value < 0)[None], x, filled)


def _mean(x: Array, by_value: Array, geometry: Geometry) -> Array:
    """Of each segment's values in each channel."""
    if geometry.columns:
        return typical_record(geometry.columns)[None].astype(x.dtype)
    axis = geometry.channel_axis
    labels = np.broadcast_to(by_value + 1, x.shape[1:])  # what is never removed is a group apart
    row = x[0][..., None] if axis is None else np.moveaxis(x[0], axis, -1)
    each = labels[..., None] if axis is None else np.moveaxis(labels, axis, -1)
    filled = np.empty(row.shape, dtype=np.float64)
    for channel in range(row.shape[-1]):
        own = each[..., channel]
        counts = np.maximum(np.bincount(own.ravel()), 1)
        sums = np.bincount(own.ravel(), weights=row[..., channel].ravel())
        filled[..., channel] = (sums / counts)[own]
    back = filled[..., 0] if axis is None else np.moveaxis(filled, -1, axis)
    return back[None].astype(x.dtype)


def _total_mean(x: Array, _: Array, geometry: Geometry) -> Array:
    axes = _extent(x, geometry)
    means = x[0].mean(axis=axes, keepdims=True, dtype=np.float64)
    return np.broadcast_to(means, x.shape[1:])[None].astype(x.dtype)


def _blur(x: Array, _: Array, geometry: Geometry) -> Array:
    """A Gaussian's sigma is a tenth of the shortest side: about the size of one of 50 segments."""
    axes = _extent(x, geometry)
    sigma = max(1.0, min(x.shape[1:][axis] for axis in axes) / 10)
    sigmas = [sigma if axis in axes else 0.0 for axis in range(x.ndim - 1)]
    return gaussian(x, sigmas)


def _noise(seed: int, x: Array, geometry: Geometry) -> Array:
    """Uniform between the least and the greatest value that each channel has in this row."""
    axes = _extent(x, geometry)
    low, high = x[0].min(axis=axes, keepdims=True), x[0].max(axis=axes, keepdims=True)
    drawn = np.random.default_rng(seed).random(x.shape[1:])
    return np.asarray((low + drawn * (high - low))[None], dtype=x.dtype)


def _extent(x: Array, geometry: Geometry) -> tuple[int, ...]:
    """The axes of a row that are space or time."""
    return tuple(axis for axis in range(x.ndim - 1) if axis != geometry.channel_axis)


def _zero(x: Array, _: Array, __: Geometry) -> Array:
    return np.zeros_like(x)


def _unknown(x: Array, _: Array, geometry: Geometry) -> Array:
    return np.full_like(x, geometry.unknown or 0)


def _padding(x: Array, _: Array, geometry: Geometry) -> Array:
    return np.full_like(x, geometry.pad or 0)


_Maker = Callable[[Array, Array, Geometry], Array]

_MAKERS: Mapping[Fill, _Maker] = MappingProxyType(
    {
        "mean": _mean,
        "total_mean": _total_mean,
        "zero": _zero,
        "blur": _blur,
        "unknown": _unknown,
        "padding": _padding,
    }
)

_OF_SPACE: Mapping[Fill, Fill] = MappingProxyType(
    {
        "mean": "mean",
        "total_mean": "total_mean",
        "zero": "zero",
        "blur": "blur",
        "noise": "noise",
    }
)

_FILLS: Mapping[Kind, Mapping[Fill, Fill]] = MappingProxyType(
    {
        "image": {"auto": "mean", **_OF_SPACE},
        "series": {"auto": "total_mean", **_OF_SPACE},
        "tokens": {
            "auto": "unknown",
            "unknown": "unknown",
            "padding": "padding",
            "mean": "unknown",
            "zero": "padding",
        },
    }
)
"""For each kind of input the fills that it takes, and what they are called once resolved."""
