"""Two colour maps whose steps look even, for magnitudes and for signed values.

Both are drawn through a few anchor colours in Oklab, in which equal distances look equally large:
`MAGNITUDE` runs from black to pale yellow with lightness in even steps (so that it also reads in
grey), `SIGNED` from blue over a neutral grey to red, equally dark at equal distance from zero.
"""

import numpy as np

from candor.result import Array

__all__ = ["MAGNITUDE", "SIGNED", "colour_of"]

_STEPS = 256

# Oklab: Björn Ottosson, "A perceptual color space for image processing", 2020.
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(srgb: Array) -> Array:
    """Oklab coordinates of sRGB colours in 0..1; [..., 3] to [..., 3]."""
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T)


def srgb(lab: Array) -> Array:
    """Nearest sRGB colours in 0..1 of Oklab coordinates; the inverse of `oklab`."""
    lms = (lab @ np.linalg.inv(_LMS_TO_LAB).T) ** 3
    linear = np.clip(lms @ np.linalg.inv(_RGB_TO_LMS).T, 0.0, 1.0)
    return np.asarray(
        np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


def _through(anchors: tuple[str, ...], lightness: tuple[float, ...]) -> Array:
    """A table of `_STEPS` uint8 colours: the anchors' hues, with the lightness that is given."""
    colours = np.array([[int(a[i : i + 2], 16) for i in (1, 3, 5)] for a in anchors]) / 255.0
    lab = oklab(colours)
    lab[:, 0] = lightness
    at = np.linspace(0.0, 1.0, len(anchors))
    steps = np.linspace(0.0, 1.0, _STEPS)
    table = np.stack([np.interp(steps, at, lab[:, c]) for c in range(3)], axis=-1)
    return np.rint(srgb(table) * 255.0).astype(np.uint8)


MAGNITUDE: Array = _through(
    ("#000004", "#420a68", "#932667", "#dd513a", "#fca50a", "#fcffa4"),
    (0.05, 0.236, 0.422, 0.608, 0.794, 0.98),
)
SIGNED: Array = _through(
    ("#0b3fae", "#4f8df0", "#e8e8e8", "#f0704f", "#ae1f0b"),
    (0.42, 0.65, 0.93, 0.65, 0.42),
)


def colour_of(table: Array, fraction: Array) -> Array:
    """Colours of fractions in 0..1: uint8 [..., 3]; what lies outside takes the end's colour."""
    index = np.clip(np.rint(fraction * (_STEPS - 1)), 0, _STEPS - 1).astype(np.intp)
    return np.asarray(table[index])
