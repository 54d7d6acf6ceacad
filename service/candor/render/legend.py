"""The strip below a drawing: the colour scale with its numbers, and a caption."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from candor.render.scale import Scale

__all__ = ["fitted", "footer", "lettering", "number"]

_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def lettering(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface in a height of `size` pixels."""
    return ImageFont.load_default(size)


def footer(image: Image.Image, scale: Scale, caption: str) -> Image.Image:
    """The image with the scale, and the caption if there is one, in a strip below."""
    size = int(np.clip(image.width // 26, 10, 30))
    font = lettering(size)
    pad, bar = size // 2, size
    lines = [line for line in caption.splitlines() if line]
    height = bar + 3 * pad + size + len(lines) * (size + pad)
    sheet = Image.new("RGB", (image.width, image.height + height), _PAPER)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)

    width = image.width - 2 * pad
    if width > 0:
        ramp = scale.colours(np.linspace(scale.low, scale.high, width))
        sheet.paste(Image.fromarray(np.repeat(ramp[None], bar, axis=0)), (pad, image.height + pad))
    y = image.height + bar + pad + pad // 2
    for text, x, anchor in _marks(scale, pad, width):
        draw.text((x, y), text, _INK, font, anchor)
    for line in lines:
        y += size + pad
        draw.text((pad, y), fitted(draw, line, font, width), _INK, font, "la")
    return sheet


def _marks(scale: Scale, left: int, width: int) -> list[tuple[str, int, str]]:
    beyond = ("< ", "> ") if scale.clipped else ("", "")
    low = (beyond[0] if scale.signed else "") + number(scale.low)
    marks = [(low, left, "la"), (beyond[1] + number(scale.high), left + width, "ra")]
    if scale.signed:
        marks.append(("0", left + width // 2, "ma"))
    return marks


def number(value: float) -> str:
    """Three significant digits, without the noise of trailing zeros."""
    return f"{value:.3g}"


def fitted(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    """The text, cut with an ellipsis where it would be wider than `width` pixels."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"
