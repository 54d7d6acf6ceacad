"""LIME: a local linear model over segments that are kept or removed.

Draws, kernel and regression are those of the lime package, so that equal probabilities give equal
coefficients; the masking itself happens inside the model's graph.
"""

import secrets
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from candor.errors import InternalError
from candor.explain.baseline import segment_baseline
from candor.explain.layout import spread
from candor.explain.options import Lime
from candor.explain.question import Progress, Question
from candor.explain.sampling import distinct_masks, draw_masks
from candor.explain.segments import Segmentation, cut, segments_kind
from candor.explain.subject import Subject
from candor.explain.surrogate import Surrogate, fit, kernel_weights, top_k_stability
from candor.explain.target import Outcome, aim, fixed, measure_changed, outcome
from candor.explain.trust import finite, map_warnings, numbers, trust_record
from candor.result import Array, Attribution, Json

__all__ = ["lime", "resolve_lime"]

TOP_K = 5

FIRST_LOOK = 100
LOOK_AGAIN = 1.25
"""With a tolerance: samples until the first look at what they say, and their growth to the next."""

POOR_FIT = 0.5

UNSTABLE = 0.6


@dataclass(frozen=True, slots=True)
class _Samples:
    """What does not change while samples are evaluated.

    Attributes:
        options: resolved.
        segmentation: of the row.
        masks: bool [m, s], as drawn.
        index: int [m], the row of each mask among the distinct ones.
        still: whether the baseline is the row itself, so that nothing can change.
    """

    options: Lime
    segmentation: Segmentation
    masks: Array
    index: Array
    still: bool


def resolve_lime(subject: Subject, _: Question, options: Lime) -> Lime:
    """Settle how the row is cut, what a removed segment becomes, and the seed.

    A feature's mean over its own segment would be its own value, so that of tabular input `mean`
    becomes `zero`: the training data's mean, where the model's input is standardised.
    """
    geometry = subject.geometry
    tabular_mean = geometry.kind == "tabular" and options.baseline == "mean"
    return replace(
        options,
        segments=segments_kind(options, geometry),
        baseline="zero" if tabular_mean else options.baseline,
        seed=secrets.randbelow(2**32) if options.seed == -1 else options.seed,
    )


def lime(
    subject: Subject, question: Question, options: Lime
) -> Generator[Progress, None, Attribution]:
    """Fit which segments speak for the target, on random perturbations of the row.

    The value of a position is its segment's coefficient: what keeping the segment adds to the
    target's probability (or score). Positions that are never removed get 0. With a tolerance,
    sampling ends when redrawn samples would keep all but that share of the leading segments, by the
    wild bootstrap of `surrogate.top_k_stability`.

    Raises:
        InvalidInput, InvalidOption, InvalidTarget, TooLarge: segments that do not fit the row, or
            a model that answers without a finite number; options that do not fit its kind; no such
            class; more segments or samples than memory allows.
    Source: Ribeiro et al. 2016, arXiv:1602.04938, as implemented by lime 0.2.0.1.
    """
    geometry = subject.geometry
    fixed(question.target, subject.n_classes)  # refused before any work rather than after a slice
    resolved = resolve_lime(subject, question, options)
    segmentation = cut(question, resolved, geometry)
    if segmentation.n == 0:
        yield Progress(0, 1)
        return _nothing_to_remove(subject, question, resolved, segmentation)
    baseline = segment_baseline(
        question.x, segmentation.positions, resolved.baseline, geometry, resolved.seed
    )
    still = bool(np.array_equal(baseline, question.x))
    masks = (
        np.ones((1, segmentation.n), dtype=bool)  # whatever is removed, the row stays what it is
        if still
        else draw_masks(geometry.kind, segmentation.n, resolved.n_samples, resolved.seed)
    )
    distinct, index = distinct_masks(masks)
    samples = _Samples(resolved, segmentation, masks, index, still)
    yield Progress(0, len(distinct))

    # the graph's Gather knows no -1; what is never removed equals its baseline, so any mask will do
    segments = spread(np.maximum(segmentation.positions, 0).astype(np.int64), geometry)
    explained = question.explained or "probability"
    values = np.empty(len(distinct))
    stands: Outcome | None = None
    for part, looks in _parts(subject, len(distinct), adaptive=resolved.tolerance is not None):
        scores = subject.perturb(question.x, baseline, segments, distinct[part])
        stands = stands or outcome(aim(question.target, scores), scores, explained)
        values[part] = measure_changed(stands.aim, scores, explained, "with segments removed")
        known = values[: part.stop]
        if looks and _is_settled(samples, known):
            return _answer(samples, stands, known, complete=True)
        best = partial(_answer, samples, stands, known, complete=False)
        yield Progress(part.stop, len(distinct), best)
    if stands is None:
        raise InternalError("the model's slices cover no sample")
    return _answer(samples, stands, values, complete=True)


def _parts(subject: Subject, n: int, *, adaptive: bool) -> Iterator[tuple[slice, bool]]:
    """Cut n samples into slices; say after which ones to look whether they are enough."""
    start, end = 0, min(FIRST_LOOK, n) if adaptive else n
    while start < n:
        for part in subject.slices(end - start):
            stop = start + part.stop
            yield slice(start + part.start, stop), adaptive and stop == end < n
        start, end = end, min(n, max(end + 1, int(end * LOOK_AGAIN)))


def _is_settled(samples: _Samples, values: Array) -> bool:
    """Tell whether redrawn samples would keep the leading segments, up to the tolerance."""
    _, _, stability = _fitted(samples, values)
    return 1.0 - stability <= (samples.options.tolerance or 0.0)


def _fitted(samples: _Samples, values: Array) -> tuple[int, Surrogate, float]:
    """From the leading samples whose values, of the distinct masks, are known.

    Returns how many these are, their linear model, and the stability of its leading segments.
    """
    unknown = samples.index >= len(values)
    n_samples = int(np.argmax(unknown)) if unknown.any() else len(unknown)
    masks, known = samples.masks[:n_samples], values[samples.index[:n_samples]]
    surrogate = fit(masks, known, kernel_weights(masks, samples.options.kernel_width))
    stability = top_k_stability(surrogate, min(TOP_K, samples.segmentation.n), samples.options.seed)
    return n_samples, surrogate, stability


def _answer(samples: _Samples, stands: Outcome, values: Array, *, complete: bool) -> Attribution:
    n_samples, surrogate, stability = _fitted(samples, values)
    positions = samples.segmentation.positions
    by_segment = np.append(surrogate.coefficients, 0.0)  # the last is for positions of -1
    attributions = by_segment[positions].astype(np.float32)
    warnings = [
        *map_warnings(attributions, _cure(samples.segmentation)),
        *_warnings(surrogate, stability, n_samples, still=samples.still),
        *_unsettled(samples.options, stability, complete=complete),
    ]
    trust = trust_record(
        samples.options,
        stands,
        n_evaluations=len(values),
        complete=complete,
        figures=_figures(samples.segmentation, surrogate, stability, n_samples),
        warnings=warnings,
    )
    return Attribution("lime", attributions, trust, positions)


def _figures(
    segmentation: Segmentation, surrogate: Surrogate, stability: float, n_samples: int
) -> dict[str, Json]:
    return {
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


def _nothing_to_remove(
    subject: Subject, question: Question, options: Lime, segmentation: Segmentation
) -> Attribution:
    scores = subject.predict(question.x)
    explained = question.explained or "probability"
    stands = outcome(aim(question.target, scores), scores, explained)
    values = np.zeros(segmentation.positions.shape, dtype=np.float32)
    figures: dict[str, Json] = {"n_samples": 1, "n_segments": 0, "segmentation": segmentation.kind}
    trust = trust_record(
        options, stands, n_evaluations=1, figures=figures, warnings=map_warnings(values)
    )
    return Attribution("lime", values, trust, segmentation.positions)
