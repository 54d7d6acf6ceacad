"""Which steps of a padded batch are there: those that are not all zero.

A row of nothing but zeros counts as a series of that length, not as an empty one. So the baseline
of a path, zero everywhere, is where the answers of a fading series go, without a jump.
"""

from __future__ import annotations

from torch import Tensor


def present(series: Tensor) -> Tensor:
    """Return 1 for steps that are there and 0 for padding, float [n, t, 1]; series [n, t, f]."""
    there = (series.abs().amax(2, keepdim=True) > 0).to(series.dtype)
    return there + (1 - there.amax(1, keepdim=True))


def mean_over_time(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of [n, t, f] over the steps that the mask [n, t, 1] has: [n, f]."""
    return (states * mask).sum(1) / mask.sum(1)
