"""An order of work in which any beginning already covers the whole."""

import numpy as np

from candor.result import Array

__all__ = ["coarse_to_fine"]


def coarse_to_fine(shape: tuple[int, ...]) -> Array:
    """Flat indices of a lattice: every 64th point, then those between at every 32nd, and so on.

    A budget that ends the work early then leaves a coarse map of everything rather than a fine map
    of one corner. Returns int64 [prod(shape)].
    """
    levels = np.zeros(shape, dtype=np.int64) + 64
    for axis, size in enumerate(shape):
        index = np.arange(size, dtype=np.int64)
        # index & -index is the largest power of two that divides the index; 0 belongs to them all
        power = np.where(index == 0, np.int64(1) << 62, index & -index)
        outer = [1] * len(shape)
        outer[axis] = size
        levels = np.minimum(levels, np.log2(power).astype(np.int64).reshape(outer))
    return np.argsort(-levels, axis=None, kind="stable")
