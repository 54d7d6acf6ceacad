"""From LIME's samples and what the model said of them to the attribution and its trust record."""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from candor.explain.lime_samples import Samples
from candor.explain.lime_several import fills_of, positions_of_each
from candor.explain.options import Lime
from candor.explain.parts import attributed
from candor.explain.place_bias import centre_warnings
from candor.explain.question import Question
from candor.explain.segments import Segmentation
from candor.explain.subject import Geometry, Subject
from candor.explain.surrogate import Surrogate, regressing, resampling
from candor.explain.target import Outcome, aim, outcome
from candor.explain.trust import finite, map_warnings, numbers, trust_record
from candor.result import Array, Attribution, Json

__all__ = ["TOP_K", "Fitted", "answer", "fitting", "is_settled", "nothing_to_remove"]

TOP_K = 5

POOR_FIT = 0.5

UNSTABLE = 0.6


class Fitted(NamedTuple):
    """What the first samples say.

    Attributes:
        n_runs: of how many runs the values are known.
        n_samples: how many samples these answer, the first ones.
        surrogate: their linear model.
        stability: of its leading segments.
    """

    n_runs: int
    n_samples: int
    surrogate: Surrogate
    stability: float


def fitting(samples: Samples, values: Array) -> Generator[None, None, Fitted]:
    """Fit the leading samples whose values, of the runs, are known; yields on the way."""
    unknown = samples.index >= len(values)
    n_samples = int(np.argmax(unknown)) if unknown.any() else len(unknown)
    known = values[samples.index[:n_samples]]
    factors = yield from samples.factors(n_samples)
    surrogate = yield from regressing(factors, known)
    k = min(TOP_K, samples.segmentation.n)
    stability = yield from resampling(surrogate, k, samples.options.seed)
    return Fitted(len(values), n_samples, surrogate, stability)


def is_settled(options: Lime, fitted: Fitted) -> bool:
    """Tell whether redrawn samples would keep the leading segments, up to the tolerance."""
    return 1.0 - fitted.stability <= (options.tolerance or 0.0)


def answer(
    samples: Samples, stands: Outcome, fitted: Fitted, geometry: Geometry, *, complete: bool
) -> Attribution:
    """The attribution from the first samples.

    Args:
        samples: all of them.
        stands: what the model says of the row.
        fitted: what the first of them say.
        geometry: of the row.
        complete: whether these are all that were wanted.
    """
    n_runs, n_samples, surrogate, stability = fitted
    positions = positions_of_each(samples.segmentation.positions, geometry)
    by_segment = np.append(surrogate.coefficients, 0.0)  # the last is for positions of -1
    figures = _figures(samples, surrogate, stability, n_samples)
    if geometry.parts:
        figures["baselines"] = dict(fills_of(samples.options, geometry))

    def record(values: Array, own: Geometry) -> dict[str, Json]:
        warnings = [
            *map_warnings(values, _cure(samples.segmentation)),
            *centre_warnings(values, own),
            *_warnings(surrogate, stability, n_samples, still=samples.still),
            *_unsettled(samples.options, stability, complete=complete),
            *samples.warnings,
        ]
        return trust_record(
            samples.options,
            stands,
            n_evaluations=n_runs,
            complete=complete,
            figures=figures,
            warnings=warnings,
        )

    maps = [by_segment[own].astype(np.float32) for own in positions]
    return attributed("lime", geometry, maps, record, positions)


def nothing_to_remove(
    subject: Subject, question: Question, options: Lime, segmentation: Segmentation
) -> Attribution:
    """The attribution of a row without a segment: a text without words."""
    scores = subject.predict(question.x)
    explained = question.explained or "probability"
    stands = outcome(aim(question.target, scores), scores, explained)
    positions = positions_of_each(segmentation.positions, subject.geometry)
    figures: dict[str, Json] = {"n_samples": 1, "n_segments": 0, "segmentation": segmentation.kind}

    def record(values: Array, _: Geometry) -> dict[str, Json]:
        warnings = map_warnings(values)
        return trust_record(options, stands, n_evaluations=1, figures=figures, warnings=warnings)

    maps = [np.zeros(own.shape, dtype=np.float32) for own in positions]
    return attributed("lime", subject.geometry, maps, record, positions)


def _figures(
    samples: Samples, surrogate: Surrogate, stability: float, n_samples: int
) -> dict[str, Json]:
    segmentation = samples.segmentation
    figures: dict[str, Json] = {
        "n_samples": n_samples,
        "n_segments": segmentation.n,
        "segmentation": segmentation.kind,
        "r2": finite(surrogate.r2),
        "out_of_sample_r2": finite(surrogate.out_of_sample_r2),
        "intercept": finite(surrogate.intercept),
        "local_prediction": finite(surrogate.local_prediction),
        "coefficients": numbers(surrogate.coefficients),
        "intervals": [numbers(interval) for interval in surrogate.intervals],
        "top_k": min(TOP_K, segmentation.n),
        "top_k_stability": finite(stability),
    }
    if samples.conditions:
        figures["conditions"] = list(samples.conditions)
    return figures


def _warnings(surrogate: Surrogate, stability: float, n_samples: int, *, still: bool) -> list[str]:
    if still:
        return ["still: the baseline equals the input, so that removing changes nothing"]
    warnings = []
    n_segments = len(surrogate.coefficients)
    if surrogate.r2 is None:
        warnings.append("flat: no perturbation moved the target at all")
    elif surrogate.out_of_sample_r2 is not None and surrogate.out_of_sample_r2 < POOR_FIT:
        warnings.append(
            f"poor fit: the linear model explains {max(surrogate.out_of_sample_r2, 0.0):.0%} of "
            "what perturbations do to the target"
        )
    if n_samples < n_segments:
        warnings.append(
            f"few samples: {n_samples} for {n_segments} segments; the penalty decides as much as "
            "the model"
        )
    if surrogate.r2 is not None and stability < UNSTABLE:
        warnings.append(
            f"unstable: redrawn samples would keep {stability:.0%} of the top segments; use more"
        )
    return warnings


def _unsettled(options: Lime, stability: float, *, complete: bool) -> list[str]:
    if not complete or options.tolerance is None or 1.0 - stability <= options.tolerance:
        return []
    return [
        f"tolerance: {options.tolerance:g} was not reached with all samples, redrawn ones would "
        f"change {1.0 - stability:.0%} of the leading segments"
    ]


def _cure(segmentation: Segmentation) -> str:
    """What helps against a map of one value: some pictures look to slic and quickshift like one."""
    by_look = segmentation.kind in ("slic", "quickshift")
    return "use segments=grid" if by_look and segmentation.n == 1 else ""
