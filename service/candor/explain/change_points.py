"""Cut a series where it changes: neighbours that are most alike are merged first."""

import numpy as np

from candor.result import Array

__all__ = ["change_points"]


def change_points(series: Array, n_segments: int) -> Array:
    """Approximate a series by steps, from the bottom up.

    At first every step of time is a segment; then, again and again, the two neighbours are merged
    whose common mean adds least to the squared error (Ward's cost). Channels count alike, whatever
    their scales.

    Args:
        series: [t, c].
        n_segments: how many are left, t at most.

    Returns:
        int32 [t]: 0, 1, ... in the order of time.

    Source: Keogh, Chu, Hart and Pazzani 2001, section 2.3, ICDM.
    """
    scale = series.std(axis=0)
    means = (series - series.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    sizes = np.ones(len(series))
    starts = np.arange(len(series))
    costs = _costs(sizes, means)
    while len(starts) > n_segments:
        at = int(np.argmin(costs))
        total = sizes[at] + sizes[at + 1]
        means[at] = (sizes[at] * means[at] + sizes[at + 1] * means[at + 1]) / total
        sizes[at] = total
        sizes, starts = np.delete(sizes, at + 1), np.delete(starts, at + 1)
        means, costs = np.delete(means, at + 1, axis=0), np.delete(costs, at)
        near = slice(max(at - 1, 0), at + 2)
        costs[max(at - 1, 0) : at + 1] = _costs(sizes[near], means[near])
    opened = np.zeros(len(series), dtype=np.int32)
    opened[starts[1:]] = 1
    return np.cumsum(opened, dtype=np.int32)


def _costs(sizes: Array, means: Array) -> Array:
    """What merging each segment with the next one adds to the squared error."""
    weight = sizes[:-1] * sizes[1:] / (sizes[:-1] + sizes[1:])
    return np.asarray(weight * ((means[:-1] - means[1:]) ** 2).sum(axis=1))
