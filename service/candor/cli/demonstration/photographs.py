"""The photographs of the demo: bundled with scikit-image, all CC0 or in the public domain."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from skimage import data

from candor.result import Array

__all__ = ["PHOTOGRAPHS", "Photograph"]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture, and what the demo asks about it.

    Attributes:
        name: for files.
        title: what it shows, in words.
        pixels: makes it, uint8 [h, w, 3].
        targets: labels to explain; () explains the top class, and the right one if that is another.
        shows: the class that it shows; "" where there is none for it, or several.
    """

    name: str
    title: str
    pixels: Callable[[], Array]
    targets: tuple[str, ...] = ()
    shows: str = ""


def _mosaic() -> Array:
    """Cat and espresso on one diagonal, rocket and astronaut on the other, 240 pixels each."""
    pictures = (data.chelsea(), data.rocket(), data.astronaut(), data.coffee())
    cat, rocket, astronaut, coffee = map(_square, pictures)
    return np.vstack([np.hstack([cat, rocket]), np.hstack([astronaut, coffee])])


def _square(pixels: Array, side: int = 240) -> Array:
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    cut = Image.fromarray(pixels[top : top + edge, left : left + edge])
    return np.asarray(cut.resize((side, side), Image.Resampling.LANCZOS))


PHOTOGRAPHS: tuple[Photograph, ...] = (
    Photograph("cat", "Chelsea, a tabby cat", data.chelsea, shows="tabby cat"),
    Photograph("coffee", "a cup of espresso", data.coffee, shows="espresso"),
    Photograph(
        "mosaic", "both in one picture, explained for each", _mosaic, ("tabby cat", "espresso")
    ),
    Photograph("rocket", "a rocket on its pad, which is none of the classes", data.rocket),
)
