"""What removing parts of a row says of a map: steps, curves and figures, as plain arithmetic.

No model is run here; `explain.examine` does that, and hands the numbers back.
"""

import numpy as np

from candor.explain.subject import Geometry
from candor.result import Array

__all__ = [
    "MOST_STEPS",
    "area",
    "correlation",
    "infidelity",
    "per_position",
    "relative_change",
    "relative_infidelity",
    "removal_steps",
    "states",
]

MOST_STEPS = 28
"""Of a deletion or insertion curve: 1792 pixels of 224 x 224 a step, as RISE takes in batches."""


def per_position(values: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """Sum a map over the channels of a position, where it has them: float64, position-shaped.

    Args:
        values: of an attribution: position-shaped, row-shaped, or (tokens) the embedding's.
        shape: of a position.
        geometry: of the row.
    """
    if values.shape == shape:
        return values.astype(np.float64)
    axis = geometry.channel_axis if values.ndim == len(shape) + 1 else None
    return np.asarray(values.sum(axis=-1 if axis is None else axis, dtype=np.float64))


def removal_steps(values: Array, removable: Array, most: int = MOST_STEPS) -> tuple[Array, int]:
    """In which step each position goes: those of the largest values first.

    Every step but the last takes the same number of positions. Of equal values the last in
    row-major order goes first, as where an ascending order is reversed.

    Args:
        values: of any shape, one a position.
        removable: bool, the same shape: False where a position always stays.
        most: how many steps there may be.

    Returns:
        int64 like values, 0 for the first step and the number of steps for what stays; that number.
    """
    chosen = np.flatnonzero(removable)
    order = chosen[np.argsort(values.ravel()[chosen], kind="stable")[::-1]]
    n_each = max(1, -(-order.size // most))
    n_steps = -(-order.size // n_each)
    steps = np.full(values.size, n_steps, dtype=np.int64)
    steps[order] = np.arange(order.size) // n_each
    return steps.reshape(values.shape), n_steps


def states(n_steps: int, part: slice, *, insertion: bool) -> Array:
    """Which steps' positions are there in each state, bool [m, n_steps + 1].

    State k of a deletion has lost the steps before k, state k of an insertion has only these; what
    belongs to no step (the last column) is always there.
    """
    state = np.arange(part.start, part.stop)[:, None]
    step = np.arange(n_steps + 1)[None]
    there = step < state if insertion else step >= state
    return np.asarray(there | (step == n_steps))


def area(curve: Array) -> float:
    """Under a curve of n + 1 states, as a share of the unit: (sum - half of both ends) / n."""
    return float((curve.sum() - (curve[0] + curve[-1]) / 2) / (len(curve) - 1))


def infidelity(told: Array, lost: Array) -> float:
    """Mean square of what the map tells of each removal, less what the target lost by it.

    Source: Yeh et al. 2019, definition 2.1, arXiv:1901.09392; captum's `infidelity`.
    """
    return float(np.mean((told - lost) ** 2))


def relative_infidelity(told: Array, lost: Array) -> float | None:
    """The least infidelity of any positive multiple of the map, as a share of a blank map's.

    0 where the map tells every loss up to one factor, 1 where it is worth no more than nothing;
    None where nothing was lost. captum's `normalize=True` also takes negative factors, by which a
    map that points the wrong way would pass for a good one.
    """
    blank = float(lost @ lost)
    if blank == 0.0:
        return None
    size, along = float(told @ told), max(float(told @ lost), 0.0)
    return max(0.0, 1.0 - along**2 / (size * blank)) if size > 0.0 else 1.0


def correlation(told: Array, lost: Array) -> float | None:
    """Pearson's correlation of what a map tells of removals and what they cost, or None.

    None where either is the same for all.

    Source: Bhatt et al. 2020, "faithfulness", arXiv:2005.00631.
    """
    a, b = told - told.mean(), lost - lost.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    flat = size <= 1e-12 * float(np.linalg.norm(told) * np.linalg.norm(lost))
    return None if flat else float(np.clip(a @ b / size, -1.0, 1.0))


def relative_change(values: Array, other: Array) -> float:
    """How far another map is from this one, as a share of this one's norm (which is not 0).

    Source: as captum's `sensitivity_max` counts one of its perturbations.
    """
    first = values.astype(np.float64)
    return float(np.linalg.norm(first - other) / np.linalg.norm(first))
