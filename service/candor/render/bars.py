"""A record's features as bars: what speaks for the target goes right, what against it left."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from candor.render.canvas import Canvas, Colour, Raster
from candor.render.legend import draw_legend, legend_height, number
from candor.render.letters import fitted
from candor.render.scale import scale_of, style_of
from candor.result import Attribution

__all__ = ["bars_picture", "draw_bars"]

_INK: Colour = (30, 30, 30)
_SOFT: Colour = (190, 190, 190)
_SIZE, _LINE, _PAD = 13, 20, 8
_NUMBER = 64  # pixels that a number takes

_Sheet = TypeVar("_Sheet", bound=Canvas)


def bars_picture(
    attribution: Attribution,
    names: Sequence[str],
    *,
    width: int = 480,
    max_bars: int = 20,
    caption: str = "",
) -> Image.Image:
    """As `draw_bars`, in pixels."""
    return draw_bars(
        Raster, attribution, names, width=width, max_bars=max_bars, caption=caption
    ).image


def draw_bars(
    canvas: Callable[[int, int], _Sheet],
    attribution: Attribution,
    names: Sequence[str],
    *,
    width: int = 480,
    max_bars: int = 20,
    caption: str = "",
) -> _Sheet:
    """Draw a bar for each feature, the largest first.

    Args:
        canvas: makes the sheet: pixels or SVG.
        attribution: values [f].
        names: of the f features, or what each of them was: `age 39`.
        width: of the drawing in pixels.
        max_bars: how many features are shown.
        caption: lines below the legend.

    Raises:
        ValueError: another number of names than values.
    """
    values = attribution.values
    if values.shape != (len(names),):
        raise ValueError(f"{len(names)} names for values of shape {list(values.shape)}")
    if len(names) > max_bars:
        left_out = f"{max_bars} of {len(names)} features, those with the largest values"
        caption = f"{caption}\n{left_out}"
    scale = scale_of(values, style_of(attribution.method), on_paper=True)
    order = np.argsort(-np.abs(values), kind="stable")[:max_bars]
    below = len(order) * _LINE + 2 * _PAD
    sheet = canvas(width, below + legend_height(width, caption))
    sheet.title = caption
    left, right = width * 2 // 5, width - _PAD - _NUMBER
    zero = (left + right) / 2 if scale.signed else float(left)
    for line, feature in enumerate(order):
        value, y = float(values[feature]), _PAD + line * _LINE
        middle = y + _LINE / 2
        name = fitted(names[feature], _SIZE, left - 2 * _PAD)
        sheet.text((left - _PAD, middle), name, _SIZE, _INK, "rm")
        reach = zero + float(np.clip(value / scale.high, -1, 1)) * (right - zero)
        red, green, blue = scale.colours(np.asarray(value)).tolist()
        box = (min(zero, reach), y + 3, max(zero, reach), y + _LINE - 3)
        sheet.box(box, (red, green, blue), _SOFT)
        sheet.text((width - _PAD, middle), number(value), _SIZE, _INK, "rm")
    sheet.line([(zero, _PAD), (zero, below - _PAD)], _SOFT, 1)
    draw_legend(sheet, below, scale, caption)
    return sheet
