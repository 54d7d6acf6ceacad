"""A map on the picture that was sent, as a PNG.

The picture's own pixels keep their place: what explains them (legend, caption) stands below.
"""

import sys

import numpy as np
from PIL import Image

from candor.render.canvas import png
from candor.render.legend import footer
from candor.render.placement import covered, place, scaled_view
from candor.render.scale import Scale, scale_of, style_of
from candor.result import Array, Attribution, ImageView
from candor.runtime.images import decode

__all__ = ["MAX_SIDE", "overlay", "overlay_png"]

MAX_SIDE = 2048
"""Longest side of a drawing in pixels; a larger picture is drawn smaller."""

_FOG = (0.35, 160.0)  # what the model did not see: its grey times the first, plus the second
_GREYED = 1.6  # how far a picture under a signed map loses its colours, times the opacity
_FLOOR = 0.2  # share of the opacity that a signed map keeps near zero


def overlay_png(
    picture: bytes | Array,
    attribution: Attribution,
    view: ImageView | None,
    *,
    opacity: float = 0.5,
    caption: str = "",
    least_width: int = 1,
) -> bytes:
    """Draw the attribution on the picture, with a legend below, as PNG.

    Args:
        picture: the encoded picture as it was sent, or its pixels, uint8 [h, w, 3].
        attribution: of an image: values [h, w], or [h, w, c] and [c, h, w], of which the sum over
            channels is drawn.
        view: where the model looked; None where it saw all of the picture.
        opacity: weight of the map over the picture, 0..1.
        caption: lines below the legend; the target and its probability, usually.
        least_width: a narrower picture is drawn larger, each pixel as a square, so that there is
            room for a legend.
    """
    drawn = overlay(
        picture, attribution, view, opacity=opacity, caption=caption, least_width=least_width
    )
    return png(drawn, caption, level=1)


def overlay(
    picture: bytes | Array,
    attribution: Attribution,
    view: ImageView | None,
    *,
    opacity: float = 0.5,
    caption: str = "",
    least_width: int = 1,
) -> Image.Image:
    """As `overlay_png`, not yet encoded."""
    image = _bounded(_opened(picture), least_width)
    view = view or ImageView(image.width, image.height, (0.0, 0.0, image.width, image.height))
    view = scaled_view(view, image.width, image.height)
    values = _flat(attribution.values)
    style = style_of(attribution.method)
    scale = scale_of(values, style)

    pixels = np.asarray(image, dtype=np.float32)
    drawn = _blended(pixels, place(values, view, style.between), scale, opacity)
    if attribution.segments is not None and attribution.segments.shape == values.shape:
        drawn = _outlined(drawn, place(attribution.segments, view, "nearest"))
    drawn = np.where(covered(view)[..., None], drawn, _fogged(pixels))
    return footer(Image.fromarray(np.rint(drawn).astype(np.uint8)), scale, caption)


def _opened(picture: bytes | Array) -> Image.Image:
    # Whoever predicted on these bytes has checked their size: no second limit here.
    if isinstance(picture, bytes):
        return decode(picture, row=0, max_pixels=sys.maxsize)
    return Image.fromarray(picture)


def _bounded(image: Image.Image, least_width: int) -> Image.Image:
    ratio = MAX_SIDE / max(image.size)
    if ratio < 1:
        return image.resize([max(1, round(side * ratio)) for side in image.size])
    larger = min(-(-least_width // image.width), int(ratio))
    size = image.width * larger, image.height * larger
    return image if larger == 1 else image.resize(size, Image.Resampling.NEAREST)


def _flat(values: Array) -> Array:
    if values.ndim == 2:
        return values
    return np.asarray(values.sum(axis=int(np.argmin(values.shape))))


def _blended(pixels: Array, values: Array, scale: Scale, opacity: float) -> Array:
    """Magnitudes shine on a darkened picture; signed values tint a greyed one where not zero."""
    weight = np.full((*values.shape, 1), opacity, dtype=np.float32)
    if scale.signed:
        # Red on a red saucer would say nothing.
        pixels = pixels + (_grey(pixels) - pixels) * min(1.0, _GREYED * opacity)
        weight *= _FLOOR + (1 - _FLOOR) * scale.strength(values)[..., None].astype(np.float32)
    return np.asarray(pixels + (scale.colours(values) - pixels) * weight)


def _fogged(pixels: Array) -> Array:
    return np.asarray(_grey(pixels) * _FOG[0] + _FOG[1])


def _grey(pixels: Array) -> Array:
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]


def _outlined(pixels: Array, segments: Array) -> Array:
    """Thin light lines between segments."""
    edge = np.zeros(segments.shape, dtype=bool)
    edge[:, 1:] |= segments[:, 1:] != segments[:, :-1]
    edge[1:, :] |= segments[1:, :] != segments[:-1, :]
    return np.where(edge[..., None], pixels * 0.6 + 255 * 0.4, pixels)
