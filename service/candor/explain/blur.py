"""Blurred copies of a row; scipy's filters stand here and nowhere else."""

from collections.abc import Sequence

import numpy as np
import scipy

from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["gaussian", "rise_blurred"]

_WIDTH, _SIGMA = 11, 5.0
"""Of the blurred copy that insertion starts from, in pixels: RISE's."""


def gaussian(x: Array, sigmas: Sequence[float]) -> Array:
    """A row [1, ...] under a Gaussian, one sigma for each axis of the row, edges repeated."""
    blurred = scipy.ndimage.gaussian_filter(x[0].astype(np.float64), sigmas, mode="nearest")
    return np.asarray(blurred[None], dtype=x.dtype)


def rise_blurred(x: Array, geometry: Geometry) -> Array:
    """An image [1, ...] under RISE's blur: 11 pixels of a Gaussian of 5, zeros beyond the edge.

    RISE makes its kernel by filtering a unit impulse of that width, which folds the tails in.
    """
    impulse = np.zeros(_WIDTH)
    impulse[_WIDTH // 2] = 1.0
    kernel = scipy.ndimage.gaussian_filter1d(impulse, _SIGMA)
    row = x[0].astype(np.float64)
    for axis in range(row.ndim):
        if axis != geometry.channel_axis:
            row = scipy.ndimage.convolve1d(row, kernel, axis, mode="constant")
    return np.asarray(row[None], dtype=x.dtype)
