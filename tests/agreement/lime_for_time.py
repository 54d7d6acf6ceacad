"""Lime-For-Time's definition, on lime's own regression.

github.com/emanuel-metzenthin/Lime-For-Time is no package, so its steps are written down here:
slices of ceil(t / k) steps; how many are inactive is uniform from 1 to k, then which; of several
signals, how many channels is uniform from 1 to all, then which; what is inactive takes the mean of
its slice, or of its signal. The kernel is 25 on the cosine distance times 100, as in lime_text.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances

from agreement.references import LimeBase
from candor.result import Array

__all__ = ["Explained", "explain_series"]


@dataclass
class Explained:
    """What the package's Explanation holds of one label, under the same names."""

    local_exp: dict[int, list[tuple[int, float]]]
    intercept: dict[int, float]
    score: float
    local_pred: Array


def explain_series(
    series: Array,
    probabilities: Callable[[Array], Array],
    *,
    n_slices: int,
    label: int,
    n_samples: int,
    replacement: str,
    seed: int,
) -> Explained:
    """Explain a series [t], or one of several signals [c, t]."""
    draw = np.random.RandomState(seed)
    signals = series[None] if series.ndim == 1 else series
    n_signals, n_steps = signals.shape
    length = math.ceil(n_steps / n_slices)
    n_inactive = draw.randint(1, n_slices + 1, n_samples - 1)
    matrix = np.ones((n_samples, n_signals, n_slices))
    perturbed = [signals.copy() for _ in range(n_samples)]
    for sample, count in enumerate(n_inactive, start=1):
        inactive = draw.choice(range(n_slices), count, replace=False)
        channels: Array = np.zeros(1, int)
        if series.ndim > 1:
            n_chosen = draw.randint(1, n_signals + 1)
            channels = draw.choice(range(n_signals), n_chosen, replace=False)
        for channel in channels:
            matrix[sample, channel, inactive] = 0
            for index in inactive:
                part = slice(index * length, min((index + 1) * length, n_steps))
                of = signals[channel] if replacement == "total_mean" else signals[channel, part]
                perturbed[sample][channel, part] = of.mean()
    features = matrix.reshape(n_samples, -1)
    distances = pairwise_distances(features, features[:1], metric="cosine").ravel() * 100
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 25**2)))
    rows = np.array(perturbed)
    said = probabilities(rows[:, 0] if series.ndim == 1 else rows)
    intercept, local, score, predicted = base.explain_instance_with_data(
        features, said, distances, label, features.shape[1], feature_selection="none"
    )
    return Explained({label: local}, {label: intercept}, score, predicted)
