"""How alike two maps are, whatever their scale."""

import numpy as np

from candor.result import Array

__all__ = ["rank_correlation"]


def rank_correlation(first: Array, second: Array) -> float | None:
    """Spearman's rho of two arrays of one shape, ties at their mean rank; None where one is flat.

    Source: Spearman 1904, as scipy's `spearmanr` has it.
    """
    a, b = (_ranks(values.ravel()) for values in (first, second))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(-1.0, min(1.0, float(a @ b) / size)) if size > 0.0 else None  # but for rounding


def _ranks(values: Array) -> Array:
    """Ranks, float64, around their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    return np.asarray(ranks - ranks.mean())
