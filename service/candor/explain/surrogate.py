"""The local linear model of LIME, in closed form, and how far it can be believed.

Everything comes from one set of samples: no figure costs a further model evaluation.
"""

from dataclasses import dataclass

import numpy as np

from candor.result import Array

__all__ = ["Surrogate", "distance_weights", "fit", "kernel_weights", "top_k_stability"]

_RIDGE = 1.0
"""Penalty on the coefficients, as in lime; the intercept is free."""

_NORMAL_95 = 1.959963984540054

_REDRAWS = 200

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A weighted ridge regression of m values on s segments (or columns of a record).

    Attributes:
        coefficients: float64 [s], what keeping a segment adds.
        intercept: the value with every segment removed.
        r2: weighted R², as lime's score; None where the values do not vary.
        out_of_sample_r2: R² on each sample by the fit without it; None where undefined.
        intervals: float64 [s, 2], 95 % confidence of the coefficients over redraws of the samples.
        influence: float64 [m, s], what each sample contributes to the coefficients' error.
        local_prediction: the value that the linear model gives the first sample.
    """

    coefficients: Array
    intercept: float
    r2: float | None
    out_of_sample_r2: float | None
    intervals: Array
    influence: Array
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


def fit(masks: Array, values: Array, weights: Array) -> Surrogate:
    """Fit values [m] on masks [m, s], or numbers in their place, with weights [m].

    The coefficients are those of scikit-learn's `Ridge(alpha=1)`, hence of lime. Leaving one sample
    out needs no refit: its residual is e_i / (1 - h_ii), exactly, h the diagonal of the hat matrix
    (Allen 1974, Technometrics 16:125; Golub, Heath and Wahba 1979, Technometrics 21:215). The
    intervals are from those residuals too: the sandwich estimate HC3 (MacKinnon and White 1985, J.
    Econometrics 29:305), which asks neither for equal variances nor for a linear truth.
    """
    total = float(weights.sum())
    design = masks.astype(np.float64)
    mean_mask = weights @ design / total
    # measured from the first sample, so that values that are all the same leave exactly nothing
    change = values - values[0]
    mean_change = float(weights @ change / total)
    design -= mean_mask
    centred = change - mean_change
    weighted = design * weights[:, None]
    system = weighted.T @ design
    system[np.diag_indices_from(system)] += _RIDGE
    coefficients = np.linalg.solve(system, weighted.T @ centred)
    residual = centred - design @ coefficients

    solved = np.linalg.solve(system, design.T).T
    leverage = weights * (1.0 / total + np.einsum("ms,ms->m", solved, design))
    # a lone sample determines its own fit (h = 1): left out there is nothing, so it says nothing
    remaining = np.where(leverage < 1.0 - 1e-12, 1.0 - leverage, np.inf)
    left_out = residual / remaining
    influence = (weights * left_out)[:, None] * solved
    spread = _NORMAL_95 * np.sqrt(np.einsum("ms,ms->s", influence, influence))

    intercept = float(values[0]) + mean_change - float(mean_mask @ coefficients)
    without_mean = centred / np.maximum(1.0 - weights / total, 1e-12)
    return Surrogate(
        coefficients=coefficients,
        intercept=intercept,
        r2=_share_explained(residual, centred, weights),
        out_of_sample_r2=_share_explained(left_out, without_mean, weights),
        intervals=np.stack([coefficients - spread, coefficients + spread], axis=1),
        influence=influence,
        local_prediction=intercept + float(masks[0] @ coefficients),
    )


def top_k_stability(surrogate: Surrogate, k: int, seed: int) -> float:
    """Mean overlap (0..1) of the k largest |coefficients| with those of redrawn samples.

    The redraws perturb each sample's influence by a standard normal multiplier (the wild bootstrap:
    Wu 1986, Ann. Statist. 14:1261; Mammen 1993, 21:255), so that none needs a fit.
    """
    # numpy's current generator: this draw reproduces nobody else's
    generator = np.random.default_rng(seed)
    redrawn = np.tile(surrogate.coefficients, (_REDRAWS, 1))
    for start in range(0, len(surrogate.influence), _BLOCK):
        block = surrogate.influence[start : start + _BLOCK]
        redrawn += generator.standard_normal((_REDRAWS, len(block))) @ block
    chosen = _largest(surrogate.coefficients[None], k)
    return float((_largest(redrawn, k) & chosen).sum() / (k * _REDRAWS))


def _largest(coefficients: Array, k: int) -> Array:
    """Bool like coefficients [n, s]: whether it is among its row's k largest in magnitude."""
    among = np.argsort(-np.abs(coefficients), axis=1, kind="stable")[:, :k]
    chosen = np.zeros(coefficients.shape, dtype=bool)
    np.put_along_axis(chosen, among, values=True, axis=1)
    return chosen


def _share_explained(residual: Array, deviation: Array, weights: Array) -> float | None:
    spread = float(weights @ deviation**2)
    return None if spread == 0.0 else 1.0 - float(weights @ residual**2) / spread
