"""Many drawings on one sheet: rows of pictures under headings."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from candor.render.letters import fitted, lettering

__all__ = ["Strip", "contact_sheet"]

_PAPER, _INK, _SOFT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
_MARGIN = 20
_BAND = 3 * _MARGIN  # height of a heading with its note


@dataclass(frozen=True, slots=True)
class Strip:
    """One row of a sheet.

    Attributes:
        heading: what the pictures are of.
        note: a second, softer line; may be empty.
        pictures: left to right, all drawn in the same width.
    """

    heading: str
    note: str
    pictures: Sequence[Image.Image]


def contact_sheet(strips: Sequence[Strip], *, width: int = 300) -> Image.Image:
    """Lay the strips out one below the other, each picture `width` pixels wide."""
    rows = [[_to_width(picture, width) for picture in strip.pictures] for strip in strips]
    heights = [max(picture.height for picture in pictures) + _BAND + _MARGIN for pictures in rows]
    across = max(len(pictures) for pictures in rows) * (width + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (across, sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    y = 0
    for strip, pictures, height in zip(strips, rows, heights, strict=True):
        for text, size, ink, drop in ((strip.heading, 20, _INK, 8), (strip.note, 15, _SOFT, 35)):
            font = lettering(size)
            written = fitted(text, size, across - 2 * _MARGIN)
            draw.text((_MARGIN, y + drop), written, ink, font)
        for place, picture in enumerate(pictures):
            sheet.paste(picture, (_MARGIN + place * (width + _MARGIN), y + _BAND))
        y += height
    return sheet


def _to_width(picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)
