"""A map over time: a band of colours, and the series that it explains as curves above it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from PIL import Image

from candor.render.canvas import PAPER, Box, Canvas, Colour, Raster
from candor.render.legend import draw_legend, legend_height, number
from candor.render.letters import fitted
from candor.render.scale import Scale, scale_of, style_of
from candor.result import Array, Attribution

__all__ = ["draw_series", "series_picture"]

_GRID: Colour = (215, 215, 215)
_INK: Colour = (30, 30, 30)
_SOFT: Colour = (110, 110, 110)
_BAND, _CURVE, _PAD = 28, 150, 8
_NAMES, _LETTERS, _GAP = 96, 12, 5  # the names of channels: width of all, height, space around
_AXIS, _STEPS = 52, 16  # room for the numbers beside the curves, and below the bands
_LEAST_BAND, _MOST_BANDS = 10, 240  # height of one of many bands, and of all of them together
_WASH = 0.35  # how much of a step's colour stands behind the curves

_Sheet = TypeVar("_Sheet", bound=Canvas)


def series_picture(
    attribution: Attribution, series: Array | None = None, *, width: int = 640, caption: str = ""
) -> Image.Image:
    """As `draw_series`, in pixels."""
    return draw_series(Raster, attribution, series, width=width, caption=caption).image


def draw_series(
    canvas: Callable[[int, int], _Sheet],
    attribution: Attribution,
    series: Array | None = None,
    *,
    names: Sequence[str] = (),
    width: int = 640,
    caption: str = "",
) -> _Sheet:
    """Draw a map over time: steps are counted from 0.

    Args:
        canvas: makes the sheet: pixels or SVG.
        attribution: values [t], drawn as one band, or [t, f], a band for each channel.
        series: what was explained, [t] or [t, f], a curve each channel, all on one scale; None
            leaves the curves out.
        names: of the f channels; they stand before their bands.
        width: of the drawing in pixels.
        caption: lines below the legend.
    """
    values = attribution.values
    bands = values[:, None] if values.ndim == 1 else values
    n_bands = bands.shape[1]
    scale = scale_of(bands, style_of(attribution.method), on_paper=True)
    above = 0 if series is None else _CURVE
    each = _BAND if n_bands == 1 else int(np.clip(_MOST_BANDS // n_bands, _LEAST_BAND, _BAND))
    below = above + each * n_bands
    named = n_bands > 1 and len(names) == n_bands
    left = _NAMES if named else 0 if series is None else _AXIS
    sheet = canvas(width, below + _STEPS + legend_height(width, caption))
    sheet.title = caption
    cells = _by_cell(bands, width - left)
    if series is not None:
        _draw_band(sheet, (left, 0, width, above), _washed(scale, _strongest(cells)))
        _draw_curves(sheet, series if series.ndim > 1 else series[:, None], left)
    for at, band in enumerate(cells.T):
        top = above + at * each
        _draw_band(sheet, (left, top, width, top + each), scale.colours(band))
        if named:
            size = min(each - 1, _LETTERS)
            name = fitted(names[at], size, left - 2 * _GAP)
            sheet.text((left - _GAP, top + each / 2), name, size, _INK, "rm")
    _draw_steps(sheet, left, below, len(bands))
    draw_legend(sheet, below + _STEPS, scale, caption)
    return sheet


def _by_cell(bands: Array, width: int) -> Array:
    """At most one value a pixel: of several steps the one furthest from zero, [cells, f]."""
    if len(bands) <= width:
        return bands
    edges = np.arange(width + 1) * len(bands) // width
    return np.stack([_strongest(bands[a:b].T) for a, b in pairwise(edges)])


def _strongest(values: Array) -> Array:
    """Of each row the value furthest from zero."""
    at = np.abs(values).argmax(axis=1)
    return np.asarray(values[np.arange(len(values)), at])


def _washed(scale: Scale, values: Array) -> Array:
    """Pale colours to stand behind curves, as strong as the value is far from zero."""
    strength = _WASH * scale.strength(values)[:, None]
    pale = np.array(PAPER) * (1 - strength) + scale.colours(values) * strength
    return np.rint(pale).astype(np.uint8)


def _draw_band(sheet: Canvas, box: Box, colours: Array) -> None:
    """Cells of equal width, neighbours of one colour in one piece."""
    left, top, right, bottom = box
    each = (right - left) / len(colours)
    starts = np.flatnonzero(np.any(colours[1:] != colours[:-1], axis=1)) + 1
    for start, end in pairwise([0, *starts.tolist(), len(colours)]):
        red, green, blue = colours[start].tolist()
        sheet.box((left + start * each, top, left + end * each, bottom), (red, green, blue))


def _draw_steps(sheet: Canvas, left: float, top: float, n_steps: int) -> None:
    """The numbers of the first and the last step below them."""
    y = top + _STEPS / 2 + 1
    each = (sheet.width - left) / n_steps
    inside = min(max(each / 2, _GAP), 3 * _GAP)
    sheet.text((left + inside, y), "0", _LETTERS, _SOFT, "lm")
    sheet.text(((left + sheet.width) / 2, y), "step", _LETTERS, _SOFT, "mm")
    if n_steps > 1:
        sheet.text((sheet.width - inside, y), str(n_steps - 1), _LETTERS, _SOFT, "rm")


def _draw_curves(sheet: Canvas, series: Array, left: float) -> None:
    low, high = float(series.min(initial=0.0)), float(series.max(initial=0.0))
    extent = high - low or 1.0

    def height(value: float) -> float:
        return _PAD + (high - value) / extent * (_CURVE - 2 * _PAD)

    sheet.line([(left, height(0.0)), (sheet.width, height(0.0))], _GRID, 1)
    at = left + (np.arange(len(series)) + 0.5) * (sheet.width - left) / len(series)
    if left:
        for value in dict.fromkeys((high, 0.0, low)):
            if value in (high, low) or min(high, -low) > extent / 6:  # or numbers would overlap
                place = (left - _GAP, height(value))
                sheet.text(place, number(value), _LETTERS, _SOFT, "rm")
    for channel in series.T:
        points = [(float(x), height(float(y))) for x, y in zip(at, channel, strict=True)]
        sheet.line(points, _INK, 1.5 if series.shape[1] == 1 else 0.75)
