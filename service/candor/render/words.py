"""A text with each token on the colour of its value, as a picture; in a terminal: `tokens`."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from candor.render.canvas import png
from candor.render.legend import footer
from candor.render.letters import fitted, lettering
from candor.render.scale import Scale, scale_of, style_of
from candor.result import Array, Attribution, TextView

__all__ = ["words_picture", "words_png"]

_PAPER, _DARK, _LIGHT = (255, 255, 255), (20, 20, 20), (245, 245, 245)
_SIZE, _LINE, _PAD, _GAP = 18, 30, 10, 5


def words_picture(
    text: str, view: TextView, attribution: Attribution, *, width: int = 640, caption: str = ""
) -> Image.Image:
    """Draw the tokens in their order, wrapped at `width` pixels.

    Args:
        text: as it was sent; what lies between two tokens is left out.
        view: where its tokens stand.
        attribution: values [t], one a token.
        width: of the drawing in pixels.
        caption: lines below the legend.
    """
    scale = scale_of(attribution.values, style_of(attribution.method), on_paper=True)
    tokens = [
        fitted(text[start:end], _SIZE, width - 2 * _PAD - 2 * _GAP) for start, end in view.offsets
    ]
    fonts = [lettering(_SIZE, token) for token in tokens]
    lengths = [font.getlength(token) for token, font in zip(tokens, fonts, strict=True)]
    places = list(_places(lengths, width))
    height = (places[-1][1] if places else 0) + _LINE + _PAD
    image = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(image)
    rows = zip(tokens, fonts, places, attribution.values, strict=False)
    for token, font, (x, y, across), value in rows:
        paper, ink = _paint(scale, value)
        pen.rectangle([x, y + 2, x + across, y + _LINE - 4], paper)
        pen.text((x + _GAP, y + _LINE // 2 - 1), token, ink, font, "lm")
    return footer(image, scale, caption)


def words_png(text: str, view: TextView, attribution: Attribution, *, caption: str = "") -> bytes:
    """As `words_picture`, as a PNG file."""
    return png(words_picture(text, view, attribution, caption=caption), caption)


def _places(lengths: list[float], width: int) -> Iterator[tuple[float, int, float]]:
    """Left, top and width of each token's box."""
    x, y = float(_PAD), _PAD
    for length in lengths:
        across = length + 2 * _GAP
        if x + across > width - _PAD and x > _PAD:
            x, y = float(_PAD), y + _LINE
        yield x, y, across
        x += across + 3


def _paint(scale: Scale, value: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colour behind a word, and one that can be read on it."""
    paper = tuple(int(part) for part in scale.colours(np.asarray(value)))
    light = 0.299 * paper[0] + 0.587 * paper[1] + 0.114 * paper[2] > 110
    return paper, _DARK if light else _LIGHT
