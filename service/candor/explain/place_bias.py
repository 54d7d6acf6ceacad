"""What a map owes to where a value stands, rather than to what it is: two figures of it.

Both are found from what a method has at hand, without a run of the model.
"""

import math
from functools import lru_cache

import numpy as np

from candor.explain.subject import Geometry
from candor.result import Array

__all__ = ["centre_warnings", "fading_warnings"]

LEAST_STEPS = 8
"""Fewer points than these lie near a line by chance."""

FALL = 10.0
STRAIGHT = 0.5
"""Share of the variance of the logarithms that the line must explain."""

CELLS = 7
SPREAD = 0.25
"""Standard deviation of the guess, as a share of each side."""

CENTRED = 0.9


def fading_warnings(slope: Array, x: Array, geometry: Geometry) -> list[str]:
    """What gradients over time have to be warned of: that they fall with the step, not the content.

    A product of Jacobians, one for each step, shrinks geometrically, so that the logarithm of the
    gradient lies along a line over the steps. Padding, and steps that no gradient reaches, are left
    out.

    Args:
        slope: derivatives of one row's target to what is explained: [t], [t, f], or [t, d] of
            tokens; of another kind of row there is nothing to say.
        x: the row, [t] or [t, f].
        geometry: of the row.
    Source: Bengio et al. 1994, IEEE TNN 5(2); Pascanu et al. 2013, section 2.1, arXiv:1211.5063; of
        saliency maps Ismail et al. 2019, arXiv:1910.12370.
    """
    if geometry.kind not in ("series", "tokens"):
        return []
    strength = np.abs(slope).reshape(len(slope), -1).sum(axis=1)
    reached = strength > 0
    if geometry.pad is not None:
        reached &= x != geometry.pad
    logs = np.log(strength[reached])
    n = len(logs)
    if n < LEAST_STEPS:
        return []
    steps, of_steps = _steps(n)
    rise = float(steps @ logs) / of_steps
    fall = abs(rise) * (n - 1)
    if not math.log(FALL) <= fall < math.inf:  # nor where a value is no number
        return []
    logs -= logs.mean()
    told = rise * rise * of_steps / float(logs @ logs)
    if told < STRAIGHT:
        return []
    way = "first to the last" if rise < 0 else "last to the first"
    return [
        f"fading: from the {way} step the gradient falls {math.exp(min(fall, 700)):.3g} times, and "
        f"{told:.0%} of its logarithm is told by the step alone; occlusion shows whether the faint "
        "steps matter"
    ]


def centre_warnings(values: Array, geometry: Geometry) -> list[str]:
    """What maps of pictures have to be warned of: that a guess at the middle says the same.

    The map, averaged over 7 x 7 cells, is correlated with a bump in the middle of the picture.

    Args:
        values: [h, w], or of each channel.
        geometry: of the row; of another kind of row there is nothing to say.
    Source: the centre model of Judd et al. 2012, MIT-CSAIL-TR-2012-001, and the correlation
        coefficient of Bylinskii et al. 2019, arXiv:1604.03605.
    """
    if geometry.kind != "image":
        return []
    axis = geometry.channel_axis
    flat = values.sum(axis=axis) if values.ndim == 3 and axis is not None else values
    if flat.ndim != 2 or min(flat.shape) < CELLS:
        return []
    down, across, guess = _middle(*flat.shape)
    cells = (down @ flat @ across).astype(np.float64)
    alike = float(np.vdot(cells, guess))
    if not alike > 0:  # nor where a value is no number
        return []
    cells -= cells.sum() / cells.size
    alike /= math.sqrt(np.vdot(cells, cells)) or math.inf
    if alike < CENTRED:
        return []
    return [
        f"centre: averaged over {CELLS} x {CELLS} cells, the map correlates by {alike:.2f} with a "
        "bump in the middle of the picture; what the model sees there cannot be told from a guess"
    ]


@lru_cache(maxsize=256)
def _steps(n: int) -> tuple[Array, float]:
    """So many steps around their mean, and the sum of their squares."""
    steps = np.arange(n) - (n - 1) / 2
    return steps, float(steps @ steps)


@lru_cache(maxsize=64)
def _middle(height: int, width: int) -> tuple[Array, Array, Array]:
    """Two matrices that average over cells, and the guess in these, of mean 0 and length 1."""
    at = (np.arange(CELLS) + 0.5) / CELLS - 0.5
    bump = np.exp(-(at**2) / (2 * SPREAD**2))
    guess = np.outer(bump, bump)
    guess -= guess.mean()
    return _means(height), np.ascontiguousarray(_means(width).T), guess / np.linalg.norm(guess)


def _means(size: int) -> Array:
    """[7, size]: of each cell the mean."""
    within = (np.arange(size) * CELLS // size == np.arange(CELLS)[:, None]).astype(np.float32)
    return np.asarray(within / within.sum(axis=1, keepdims=True))
