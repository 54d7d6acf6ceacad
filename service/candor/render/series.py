"""A map over time: a band of colours, and the series that it explains as a curve above it."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from candor.render.legend import footer
from candor.render.scale import Scale, scale_of, style_of
from candor.result import Array, Attribution

__all__ = ["series_picture"]

_PAPER, _GRID, _INK = (255, 255, 255), (215, 215, 215), (30, 30, 30)
_BAND, _CURVE, _PAD = 28, 150, 8
_WASH = 0.35  # how much of a step's colour stands behind the curve


def series_picture(
    attribution: Attribution, series: Array | None = None, *, width: int = 640, caption: str = ""
) -> Image.Image:
    """Draw a map over time.

    Args:
        attribution: values [t], or [t, f], of which the sum over channels is drawn.
        series: what was explained, [t] or [t, f], a curve each channel, all on one scale; None
            leaves the curves out.
        width: of the drawing in pixels.
        caption: lines below the legend.
    """
    values = attribution.values
    values = values if values.ndim == 1 else np.asarray(values.sum(axis=-1))
    style = style_of(attribution.method)
    scale = scale_of(values, style)
    values = _by_pixel(values, width)
    height = _BAND if series is None else _CURVE + _BAND
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = scale.colours(values)
    if series is not None:
        pixels[:_CURVE] = _washed(scale, values)
    image = Image.fromarray(pixels)
    if series is not None:
        _draw_curves(image, series if series.ndim > 1 else series[:, None])
    return footer(image, scale, caption)


def _by_pixel(values: Array, width: int) -> Array:
    """The value of each column of pixels: of several steps the one furthest from zero."""
    edges = np.arange(width + 1) * len(values) // width
    if len(values) <= width:
        return np.asarray(values[edges[:-1]])
    return np.array([max(values[a:b], key=abs) for a, b in pairwise(edges)], values.dtype)


def _washed(scale: Scale, values: Array) -> Array:
    """A pale band behind the curve, as strong as the value is far from zero."""
    strength = _WASH * scale.strength(values)[:, None]
    pale = np.array(_PAPER) * (1 - strength) + scale.colours(values) * strength
    return np.rint(pale).astype(np.uint8)


def _draw_curves(image: Image.Image, series: Array) -> None:
    pen = ImageDraw.Draw(image)
    low, high = float(series.min(initial=0.0)), float(series.max(initial=0.0))
    extent = high - low or 1.0

    def height(value: float) -> float:
        return _PAD + (high - value) / extent * (_CURVE - 2 * _PAD)

    pen.line([(0, height(0.0)), (image.width, height(0.0))], _GRID)
    at = (np.arange(len(series)) + 0.5) * image.width / len(series)
    for channel in series.T:
        points = [(float(x), height(float(y))) for x, y in zip(at, channel, strict=True)]
        pen.line(points, _INK, width=2 if series.shape[1] == 1 else 1)
