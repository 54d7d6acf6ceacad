"""Means over rows, and how far they would move with other rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from candor.result import Array

__all__ = ["mean_of"]

N_DRAWS = 2000


def mean_of(values: Sequence[float | None], groups: Sequence[int]) -> dict[str, Any] | None:
    """The mean with its 95 % interval, or None where there is no value.

    The interval is the percentile bootstrap's (Efron and Tibshirani 1993, chapter 13): whole groups
    are drawn again, since values of one group, four questions about one picture, are no four
    pictures. The draws are the same each time.

    Args:
        values: one for each row; None where it was not measured.
        groups: of each row.

    Returns:
        `{"mean": .., "low": .., "high": .., "n": values}`.
    """
    known = [(float(v), group) for v, group in zip(values, groups, strict=True) if v is not None]
    if not known:
        return None
    _, places = np.unique([group for _, group in known], return_inverse=True)
    sums = np.bincount(places, weights=[value for value, _ in known])
    counts = np.bincount(places)
    low, high = np.percentile(_redrawn(sums, counts), (2.5, 97.5))
    mean = sums.sum() / counts.sum()
    spread = {"mean": mean, "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in spread.items()} | {"n": len(known)}


def _redrawn(sums: Array, counts: Array) -> Array:
    """Means of as many groups, drawn with replacement: float64 [N_DRAWS]."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, sums.size, (N_DRAWS, sums.size))
    return np.asarray(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
