"""The strip below a drawing: the colour scale with its numbers, and a caption."""

import numpy as np
from PIL import Image

from candor.render.canvas import Canvas, Raster
from candor.render.letters import lettering, wrapped
from candor.render.scale import Scale

__all__ = ["draw_legend", "footer", "legend_height", "number"]

_INK, _SOFT = (40, 40, 40), (120, 120, 120)
_STEPS = 256


def legend_height(width: int, caption: str) -> int:
    """How much room the strip takes below a drawing of this width."""
    size, pad = _sizes(width)
    return size + 3 * pad + size + len(_lines(caption, width)) * (size + pad)


def draw_legend(canvas: Canvas, top: float, scale: Scale, caption: str) -> None:
    """Draw the strip, from `top` downwards."""
    size, pad = _sizes(canvas.width)
    left, right = float(pad), float(canvas.width - pad)
    if right <= left:
        return
    colours = scale.colours(np.linspace(scale.low, scale.high, _STEPS))
    canvas.ramp((left, top + pad, right, top + pad + size), colours)
    y = top + pad + size + pad / 2
    beyond = ("< ", "> ") if scale.clipped else ("", "")
    low = (beyond[0] if scale.signed else "") + number(scale.low)
    canvas.text((left, y), low, size, _INK, "la")
    high = beyond[1] + number(scale.high)
    canvas.text((right, y), high, size, _INK, "ra")
    if scale.signed:
        middle = (left + right) / 2
        canvas.text((middle, y), "0", size, _INK, "ma")
        _sides(canvas, y, size, taken=(low, high), ends=(left, right))
    for line in _lines(caption, canvas.width):
        y += size + pad
        canvas.text((left, y), line, size, _INK, "la")


def _sides(
    canvas: Canvas, y: float, size: int, *, taken: tuple[str, str], ends: tuple[float, float]
) -> None:
    """Say which side is which, between the numbers at the ends and the zero: both words or none."""
    font = lettering(size)
    half = (ends[1] - ends[0]) / 2
    words = ("speaks against", "speaks for")
    free = [half - font.getlength(number) - size for number in taken]
    if any(font.getlength(word) + size > room for word, room in zip(words, free, strict=True)):
        return
    middle = (ends[0] + ends[1]) / 2
    for word, room, inwards in zip(words, free, (1, -1), strict=True):
        canvas.text((middle - inwards * (size / 2 + room / 2), y), word, size, _SOFT, "ma")


def footer(image: Image.Image, scale: Scale, caption: str) -> Image.Image:
    """The image with the scale, and the caption if there is one, in a strip below."""
    strip = Raster(image.width, legend_height(image.width, caption))
    draw_legend(strip, 0, scale, caption)
    sheet = Image.new("RGB", (image.width, image.height + strip.height))
    sheet.paste(image, (0, 0))
    sheet.paste(strip.image, (0, image.height))
    return sheet


def number(value: float) -> str:
    """Three significant digits, without the noise of trailing zeros."""
    return f"{value or 0.0:.3g}"  # and not -0


def _sizes(width: int) -> tuple[int, int]:
    """Height of the letters (and of the bar), and of the space between."""
    size = int(np.clip(width // 26, 10, 26 if width > 900 else 15))
    return size, size // 2


def _lines(caption: str, width: int) -> list[str]:
    size, pad = _sizes(width)
    return [part for line in caption.splitlines() for part in wrapped(line, size, width - 2 * pad)]
