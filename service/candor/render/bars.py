"""A record's features as bars: what speaks for the target goes right, what against it left."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from candor.render.legend import fitted, footer, lettering, number
from candor.render.scale import scale_of, style_of
from candor.result import Attribution

__all__ = ["bars_picture"]

_PAPER, _INK, _SOFT = (255, 255, 255), (30, 30, 30), (190, 190, 190)
_SIZE, _LINE, _PAD = 13, 20, 8
_NUMBER = 64  # pixels that a number takes


def bars_picture(
    attribution: Attribution,
    names: Sequence[str],
    *,
    width: int = 480,
    max_bars: int = 20,
    caption: str = "",
) -> Image.Image:
    """Draw a bar for each feature, the largest first.

    Args:
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
    scale = scale_of(values, style_of(attribution.method))
    order = np.argsort(-np.abs(values), kind="stable")[:max_bars]
    image = Image.new("RGB", (width, len(order) * _LINE + 2 * _PAD), _PAPER)
    pen, font = ImageDraw.Draw(image), lettering(_SIZE)
    left, right = width * 2 // 5, width - _PAD - _NUMBER
    zero = (left + right) / 2 if scale.signed else float(left)
    for line, feature in enumerate(order):
        value, y = float(values[feature]), _PAD + line * _LINE
        name = fitted(pen, names[feature], font, left - 2 * _PAD)
        pen.text((left - _PAD, y + _LINE // 2), name, _INK, font, "rm")
        reach = zero + float(np.clip(value / scale.high, -1, 1)) * (right - zero)
        colour = tuple(int(part) for part in scale.colours(np.asarray(value)))
        pen.rectangle([min(zero, reach), y + 3, max(zero, reach), y + _LINE - 4], colour, _SOFT)
        pen.text((width - _PAD, y + _LINE // 2), number(value), _INK, font, "rm")
    pen.line([(zero, _PAD), (zero, image.height - _PAD)], _SOFT)
    return footer(image, scale, caption)
