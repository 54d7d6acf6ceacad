"""What stands where something is absent, always in the model's own input space."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
import scipy

from candor.errors import InvalidOption
from candor.explain.layout import spread
from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["absent_value", "constant_baseline", "segment_baseline"]


def absent_value(given: float | None, geometry: Geometry) -> float:
    """The number that means 'absent' where the caller named none.

    Of tokens it is the padding's id, else what the model's manifest says, else 0.

    Raises:
        InvalidOption: a token id that is not a whole number of at least 0, or that the model does
            not know.
    """
    if given is None:
        return float((geometry.pad if geometry.kind == "tokens" else geometry.baseline) or 0)
    if geometry.kind == "tokens" and (given < 0 or not float(given).is_integer()):
        raise InvalidOption(
            f"baseline is {given:g}, expected a token id: a whole number, 0 or more"
        )
    if geometry.n_ids is not None and given >= geometry.n_ids:
        raise InvalidOption(
            f"baseline is {given:.0f}, expected a token id: the model knows 0 to "
            f"{geometry.n_ids - 1}"
        )
    return float(given)


def constant_baseline(x: Array, value: float, geometry: Geometry) -> Array:
    """One number everywhere, [1, ...] like x; padding tokens stay what they are."""
    baseline = np.full_like(x, value)
    if geometry.kind == "tokens" and geometry.pad is not None:
        baseline[x == geometry.pad] = geometry.pad
    return baseline


def segment_baseline(
    x: Array, segments: Array, baseline: str | float, geometry: Geometry, seed: int = 0
) -> Array:
    """What stands where a segment is absent, [1, ...] like x.

    Args:
        x: [1, ...], the row.
        segments: int, position-shaped; positions below 0 are never removed and keep their value.
        baseline: `mean` (of each segment and channel, in float; of a series, of each channel over
            time), `zero`, `blur`, `noise` (uniform between the least and the greatest value of
            each channel) or a number. Of tokens: `mean` is the unknown word, `zero` padding, a
            number a token id.
        geometry: of the row.
        seed: of the noise.

    Raises:
        InvalidOption: blur or noise of what has no neighbours, a token id that is none.
    """
    if isinstance(baseline, str):
        fills: Mapping[str, _Maker] = {**_VALUES, "noise": partial(_noise, seed)}
        make = (_TOKENS if geometry.kind == "tokens" else fills).get(baseline)
        if make is None or (baseline in ("blur", "noise") and geometry.kind == "tabular"):
            raise InvalidOption(
                f"baseline '{baseline}' needs positions that have neighbours in space or time, "
                f"which {geometry.kind} input has not; use 'zero', 'mean' or a number"
            )
        filled = make(x, segments, geometry)
    else:
        filled = np.full_like(x, absent_value(baseline, geometry))
    kept = spread(segments < 0, geometry)
    return np.where(kept[None], x, filled)


def _mean(x: Array, segments: Array, geometry: Geometry) -> Array:
    axis = geometry.channel_axis
    if geometry.kind == "series":
        # a slice of time is short and smooth: its own mean is nearly (of one step exactly) itself
        segments = np.zeros_like(segments)
    channels_last = x[0][..., None] if axis is None else np.moveaxis(x[0], axis, -1)
    values = channels_last.reshape(segments.size, -1)
    labels = np.maximum(segments.ravel(), 0)
    counts = np.maximum(np.bincount(labels), 1)
    means = np.stack(
        [np.bincount(labels, weights=channel) / counts for channel in values.T], axis=-1
    )
    filled = means[labels].reshape(channels_last.shape)
    row = filled[..., 0] if axis is None else np.moveaxis(filled, -1, axis)
    return row[None].astype(x.dtype)


def _blur(x: Array, _: Array, geometry: Geometry) -> Array:
    """A Gaussian's sigma is a tenth of the shortest side: about the size of one of 50 segments."""
    axes = [axis for axis in range(x.ndim - 1) if axis != geometry.channel_axis]
    sigma = max(1.0, min(x.shape[1:][axis] for axis in axes) / 10)
    sigmas = [sigma if axis in axes else 0.0 for axis in range(x.ndim - 1)]
    blurred = scipy.ndimage.gaussian_filter(x[0].astype(np.float64), sigmas, mode="nearest")
    return np.asarray(blurred[None], dtype=x.dtype)


def _noise(seed: int, x: Array, _: Array, geometry: Geometry) -> Array:
    """Uniform between the least and the greatest value that each channel has in this row."""
    axes = tuple(axis for axis in range(x.ndim - 1) if axis != geometry.channel_axis)
    low, high = x[0].min(axis=axes, keepdims=True), x[0].max(axis=axes, keepdims=True)
    drawn = np.random.default_rng(seed).random(x.shape[1:])
    return np.asarray((low + drawn * (high - low))[None], dtype=x.dtype)


def _zero(x: Array, _: Array, __: Geometry) -> Array:
    return np.zeros_like(x)


def _unknown(x: Array, _: Array, geometry: Geometry) -> Array:
    if geometry.unknown is not None:
        return np.full_like(x, geometry.unknown)
    return _padding(x, _, geometry)


def _padding(x: Array, _: Array, geometry: Geometry) -> Array:
    return np.full_like(x, geometry.pad or 0)


_Maker = Callable[[Array, Array, Geometry], Array]

_VALUES: Mapping[str, _Maker] = MappingProxyType({"mean": _mean, "zero": _zero, "blur": _blur})
_TOKENS: Mapping[str, _Maker] = MappingProxyType({"mean": _unknown, "zero": _padding})
