"""The local linear model of LIME, in closed form, and how far it can be believed.

Everything comes from one set of samples: no figure costs a further model evaluation.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from candor.explain.kept import Kept
from candor.explain.steps import ended
from candor.result import Array

__all__ = [
    "Factors",
    "Surrogate",
    "distance_weights",
    "factorising",
    "fit",
    "kernel_weights",
    "regressing",
    "resampling",
]

_RIDGE = 1.0
"""Penalty on the coefficients, as in lime; the intercept is free."""

_NORMAL_95 = 1.959963984540054

_REDRAWS = 200

_BLOCK = 4096
_BLOCK_CELLS = 2**18
"""Samples whose numbers are float64 at a time, and cells of these: about 20 ms at most."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A weighted ridge regression of m values on s segments (or columns of a record).

    Attributes:
        coefficients: float64 [s], what keeping a segment adds.
        intercept: the value with every segment removed.
        r2: weighted R², as lime's score; None where the values do not vary.
        out_of_sample_r2: R² on each sample by the fit without it; None where undefined.
        intervals: float64 [s, 2], 95 % confidence of the coefficients over redraws of the samples.
        pull: float64 [m], each sample's error, had it been left out, times its weight.
        solved: float64 [m, s], times that: what each contributes to the coefficients' error.
        local_prediction: the value that the linear model gives the first sample.
    """

    coefficients: Array
    intercept: float
    r2: float | None
    out_of_sample_r2: float | None
    intervals: Array
    pull: Array
    solved: Array
    local_prediction: float


def kernel_weights(masks: Array, width: float) -> Array:
    """Weight of each sample, float64 [m]: sqrt(exp(-d²/width²)), d its cosine distance from ones.

    lime_text's kernel of 25 on a distance times 100 is this one at 0.25.
    """
    distance = 1.0 - np.sqrt(masks.mean(axis=1, dtype=np.float64))
    return np.asarray(np.sqrt(np.exp(-(distance**2) / width**2)))


def distance_weights(design: Array, width: float) -> Array:
    """As `kernel_weights`, with the Euclidean distance from the first sample: lime_tabular's."""
    squared = ((design - design[0]) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(np.exp(-squared / width**2)))


class Factors(NamedTuple):
    """What of a fit does not depend on the values.

    Attributes:
        design: [m, s], the samples as they were given.
        mean: float64 [s], their weighted mean.
        solved: float64 [m, s], each sample's pull on the coefficients, for a weight of one.
        weights: float64 [m].
        remaining: float64 [m], 1 - h, h the diagonal of the hat matrix; infinity where h is 1.
    """

    design: Array
    mean: Array
    solved: Array
    weights: Array
    remaining: Array


def factorising(design: Array, weights: Array) -> Generator[None, None, Factors]:
    """Prepare fits on masks [m, s], or numbers in their place, with weights [m].

    Yields between blocks of samples, so that the clock can be looked at.
    """
    total = float(weights.sum())
    n, n_segments = design.shape
    blocks = _blocks(n, n_segments)
    sums = []
    for at in blocks:
        if at.start:
            yield
        sums.append(weights[at] @ design[at].astype(np.float64))
    mean = np.sum(sums, axis=0) / total
    if n < n_segments:  # by as many equations as there are samples, in one block
        inverse, blocks = None, _blocks(n)
    else:
        inverse = yield from _inverse(design, weights, mean, blocks)
    solved, leverage = np.empty((n, n_segments)), np.empty(n)
    for at in blocks:
        if at.start:
            yield
        centred = design[at] - mean
        solved[at] = _solved_by_samples(centred, weights) if inverse is None else centred @ inverse
        leverage[at] = weights[at] * (1.0 / total + np.einsum("ms,ms->m", solved[at], centred))
    # a lone sample determines its own fit (h = 1): left out there is nothing, so it says nothing
    remaining = np.where(leverage < 1.0 - 1e-12, 1.0 - leverage, np.inf)
    return Factors(design, mean, solved, weights, remaining)


def _inverse(
    design: Array, weights: Array, mean: Array, blocks: Sequence[slice]
) -> Generator[None, None, Array]:
    """Of the normal matrix, float64 [s, s]; the penalty keeps it well away from singular."""
    system = _RIDGE * np.eye(len(mean))
    for at in blocks:
        if at.start:
            yield
        centred = design[at] - mean
        system += (centred * weights[at, None]).T @ centred
    return np.linalg.inv(system)


def _solved_by_samples(centred: Array, weights: Array) -> Array:
    """Rows [m, s] times that inverse, where m < s: C (C'WC + r)^-1 = (CC'W + r)^-1 C."""
    among = (centred @ centred.T) * weights + _RIDGE * np.eye(len(centred))
    return np.linalg.solve(among, centred)


def fit(masks: Array, values: Array, weights: Array) -> Surrogate:
    """Fit values [m] on masks [m, s], or numbers in their place, with weights [m]."""
    return ended(regressing(ended(factorising(masks, weights)), values))


def regressing(factors: Factors, values: Array) -> Generator[None, None, Surrogate]:
    """Fit values [m] on what was prepared; yields between blocks of samples.

    The coefficients are those of scikit-learn's `Ridge(alpha=1)`, hence of lime. Leaving one sample
    out needs no refit: its residual is e_i / (1 - h_ii), exactly, h the diagonal of the hat matrix
    (Allen 1974, Technometrics 16:125; Golub, Heath and Wahba 1979, Technometrics 21:215). The
    intervals are from those residuals too: the sandwich estimate HC3 (MacKinnon and White 1985, J.
    Econometrics 29:305), which asks neither for equal variances nor for a linear truth.
    """
    weights, solved = factors.weights, factors.solved
    total = float(weights.sum())
    # measured from the first sample, so that values that are all the same leave exactly nothing
    change = values - values[0]
    mean_change = float(weights @ change / total)
    centred = change - mean_change
    coefficients = (weights * centred) @ solved
    blocks = _blocks(*solved.shape)
    residual = centred.copy()
    for at in blocks:
        if at.start:
            yield
        residual[at] -= (factors.design[at] - factors.mean) @ coefficients

    left_out = residual / factors.remaining
    pull = weights * left_out
    variances = []
    for at in blocks:
        if at.start:
            yield
        variances.append(pull[at] ** 2 @ solved[at] ** 2)
    spread = _NORMAL_95 * np.sqrt(np.sum(variances, axis=0))

    intercept = float(values[0]) + mean_change - float(factors.mean @ coefficients)
    without_mean = centred / np.maximum(1.0 - weights / total, 1e-12)
    return Surrogate(
        coefficients=coefficients,
        intercept=intercept,
        r2=_share_explained(residual, centred, weights),
        out_of_sample_r2=_share_explained(left_out, without_mean, weights),
        intervals=np.stack([coefficients - spread, coefficients + spread], axis=1),
        pull=pull,
        solved=solved,
        local_prediction=intercept + float(factors.design[0] @ coefficients),
    )


def resampling(surrogate: Surrogate, k: int, seed: int) -> Generator[None, None, float]:
    """Mean overlap (0..1) of the k largest |coefficients| with those of redrawn samples.

    The redraws perturb each sample's influence by a standard normal multiplier (the wild bootstrap:
    Wu 1986, Ann. Statist. 14:1261; Mammen 1993, 21:255), so that none needs a fit. Yields between
    blocks of samples.
    """
    redrawn = np.tile(surrogate.coefficients, (_REDRAWS, 1))
    for drawn in _blocks(len(surrogate.pull)):
        if drawn.start:
            yield
        multipliers = _multipliers(seed, drawn.start, drawn.stop - drawn.start)
        for at in _blocks(drawn.stop - drawn.start, len(surrogate.coefficients)):
            if at.start:
                yield
            rows = slice(drawn.start + at.start, drawn.start + at.stop)
            influence = surrogate.pull[rows, None] * surrogate.solved[rows]
            redrawn += multipliers[:, at] @ influence
    chosen = _largest(surrogate.coefficients[None], k)
    return float((_largest(redrawn, k) & chosen).sum() / (k * _REDRAWS))


_MULTIPLIERS: Kept[tuple[Array]] = Kept(16 * 2**20)


def _multipliers(seed: int, start: int, n: int) -> Array:
    """Normal multipliers of n samples from the given one, float64 [redraws, n]."""

    def draw() -> tuple[Array]:
        # numpy's current generator: this draw reproduces nobody else's
        generator = np.random.default_rng([seed, start] if start else seed)
        return (generator.standard_normal((_REDRAWS, n)),)

    return _MULTIPLIERS.get((seed, start, n), draw)[0]


def _blocks(n: int, n_segments: int = 1) -> list[slice]:
    """So many samples at a time that what is made of them stays small, and soon is."""
    size = min(_BLOCK, max(1, _BLOCK_CELLS // n_segments))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _largest(coefficients: Array, k: int) -> Array:
    """Bool like coefficients [n, s]: whether it is among its row's k largest in magnitude."""
    among = np.argsort(-np.abs(coefficients), axis=1, kind="stable")[:, :k]
    chosen = np.zeros(coefficients.shape, dtype=bool)
    np.put_along_axis(chosen, among, values=True, axis=1)
    return chosen


def _share_explained(residual: Array, deviation: Array, weights: Array) -> float | None:
    spread = float(weights @ deviation**2)
    return None if spread == 0.0 else 1.0 - float(weights @ residual**2) / spread
