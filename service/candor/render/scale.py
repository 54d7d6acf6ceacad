"""From values to colours: which map, and what its two ends mean.

Invariant: zero is always the neutral end or middle of the scale, never whatever the smallest value
happens to be; a map of nothing looks like nothing.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from candor.render.colours import MAGNITUDE, SIGNED, colour_of
from candor.result import Array

__all__ = ["Scale", "Style", "scale_of", "style_of"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a method's values want to be drawn.

    Attributes:
        between: what lies between two positions: smooth, or each position's own block.
        signed: zero in the middle even where no value happens to be negative.
        quantile: share of the magnitudes that the scale spans; the few beyond take its end colour,
            since a handful of pixels would else turn the rest of a gradient black.
    """

    between: Literal["bilinear", "nearest"] = "bilinear"
    signed: bool = False
    quantile: float = 1.0


_STYLES = MappingProxyType(
    {
        "cam": Style(),
        "grad_cam": Style(),
        "grad_cam_plus_plus": Style(),
        "hires_cam": Style(),
        "layer_cam": Style(),
        "xgrad_cam": Style(),
        "gradient": Style(quantile=0.99),
        "smooth_grad": Style(quantile=0.99),
        "integrated_gradients": Style(signed=True, quantile=0.99),
        "occlusion": Style(signed=True),
        "lime": Style(between="nearest", signed=True),
    }
)


def style_of(method: str) -> Style:
    """The style of a method; smooth and unclipped where none is known."""
    return _STYLES.get(method, Style())


@dataclass(frozen=True, slots=True)
class Scale:
    """A colour map with meaning at its ends.

    Attributes:
        low, high: values at the two ends; low is 0 or -high.
        clipped: whether some value lies beyond an end.
        on_paper: magnitudes stand on white, where more is darker, not on a darkened picture.
    """

    low: float
    high: float
    clipped: bool
    on_paper: bool = False

    @property
    def signed(self) -> bool:
        """Whether zero stands in the middle."""
        return self.low < 0

    def strength(self, values: Array) -> Array:
        """How far each value is from zero, as a fraction 0..1 of the scale."""
        return np.asarray(np.clip(np.abs(values) / self.high, 0.0, 1.0))

    def colours(self, values: Array) -> Array:
        """uint8 colours [..., 3] of the values."""
        fraction = (values - self.low) / (self.high - self.low)
        if self.on_paper and not self.signed:
            return colour_of(SIGNED, (1 + fraction) / 2)
        return colour_of(SIGNED if self.signed else MAGNITUDE, fraction)


def scale_of(values: Array, style: Style, *, on_paper: bool = False) -> Scale:
    """The scale that shows these values; its high end is positive even where all are zero."""
    magnitude = np.abs(values)
    largest = float(magnitude.max(initial=0.0))
    high = float(np.quantile(magnitude, style.quantile)) if magnitude.size else 0.0
    high = high or largest or 1.0
    signed = style.signed or bool((values < 0).any())
    return Scale(-high if signed else 0.0, high, clipped=largest > high, on_paper=on_paper)
