"""Gradients integrated along the straight line from a baseline to the row, by Gauss-Legendre.

The nodes are visited coarse to fine, so that a run that is cut short has seen the whole line.
"""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from candor.errors import InternalError
from candor.explain.baseline import baseline_of_parts, shared_absent_value
from candor.explain.options import IntegratedGradients
from candor.explain.order import coarse_to_fine
from candor.explain.parts import attributed, maps_of
from candor.explain.place_bias import centre_warnings, fading_warnings
from candor.explain.quadrature import gauss_legendre
from candor.explain.question import Progress, Question
from candor.explain.subject import Geometry, Subject
from candor.explain.target import Outcome, aim, fixed, measure_changed, one_hot, outcome
from candor.explain.trust import finite, gradient_warnings, map_warnings, trust_record
from candor.result import Array, Attribution, Json

__all__ = ["integrated_gradients", "resolve_integrated_gradients"]

MOST_STEPS = 10_000
"""Where doubling ends, whatever the tolerance."""

GAP_WORTH_A_WARNING = 0.05


@dataclass(frozen=True, slots=True)
class _Line:
    """The line that is integrated along, and what the model says at its ends."""

    x: Array
    baseline: Array
    toward: Array
    stands: Outcome
    change: float


@dataclass(frozen=True, slots=True)
class _Integral:
    """What is known of one integral after some of its nodes.

    Attributes:
        n_steps, n_done: nodes in all, and so far.
        total: float64, the weighted sum of the gradients so far.
        weight: of these together.
        displacement: from the baseline to the row.
    """

    n_steps: int
    n_done: int
    total: Array
    weight: float
    displacement: Array

    @property
    def values(self) -> Array:
        """Attributions of the explained value, as if nodes to come averaged like those done."""
        return np.asarray(self.total / self.weight * self.displacement)


def resolve_integrated_gradients(
    subject: Subject, _: Question, options: IntegratedGradients
) -> IntegratedGradients:
    """Put a number to the baseline: 0, or the padding token's id; of several inputs as it is given.

    Raises:
        InvalidOption: it is no token id, where an input holds these.
    """
    return replace(options, baseline=shared_absent_value(options.baseline, subject.geometry))


def integrated_gradients(
    subject: Subject, question: Question, options: IntegratedGradients
) -> Generator[Progress, None, Attribution]:
    """Distribute the target's change from baseline to row over the row's values.

    Values are in units of the target and sum to its change, up to the completeness gap. Of several
    inputs all go from their baselines at once, and their values sum to it together. Padding tokens
    get exactly 0.

    Raises:
        InvalidInput: the model answers one end of the line without a finite number.
        InvalidOption, InvalidTarget: a baseline that is no token; no such class.
    Source: Sundararajan et al. 2017, eq. 1 and proposition 1, arXiv:1703.01365.
    """
    resolved = resolve_integrated_gradients(subject, question, options)
    yield Progress(0, 2 + resolved.n_steps)
    line = _line(subject, question, resolved)
    answer = partial(_answer, subject, resolved, line)
    spent, n_steps = 2, resolved.n_steps
    finished: _Integral | None = None
    while True:
        integral = finished
        for integral in _integrate(subject, line, n_steps):
            so_far = partial(answer, finished or integral, spent + integral.n_done, complete=False)
            yield Progress(spent + integral.n_done, spent + n_steps, so_far)
        if integral is None:
            raise InternalError("the model's slices cover no step")
        spent, finished = spent + n_steps, integral
        if _is_enough(line, integral, resolved.tolerance):
            return answer(integral, spent, complete=True)
        n_steps *= 2


def _line(subject: Subject, question: Question, options: IntegratedGradients) -> _Line:
    """Run both ends; the row's own score also tells its top class, where that is the target."""
    explained = question.explained or "score"
    baseline = baseline_of_parts(question.x, options.baseline, subject.geometry)
    toward = one_hot([fixed(question.target, subject.n_classes)], subject.n_classes)
    ends = np.array([1.0, 0.0], dtype=np.float32)
    scores = subject.path(question.x, baseline, ends, toward, explained).scores
    known = aim(question.target, scores)
    stands = outcome(known, scores, explained)
    at_row, at_baseline = measure_changed(known, scores, explained, "at the baseline").tolist()
    return _Line(
        x=question.x,
        baseline=baseline,
        toward=one_hot([known], subject.n_classes),
        stands=stands,
        change=at_row - at_baseline,
    )


def _integrate(subject: Subject, line: _Line, n_steps: int) -> Iterator[_Integral]:
    """One slice of nodes at a time; the last of what is yielded is the whole integral."""
    nodes, weights = gauss_legendre(n_steps)
    alphas = nodes.astype(np.float32)
    order = coarse_to_fine((n_steps,))
    total: Array = np.zeros(())
    weight = 0.0
    for part in subject.slices(n_steps):
        chosen = order[part]
        run = subject.path(
            line.x, line.baseline, alphas[chosen], line.toward, line.stands.explained
        )
        total = total + np.tensordot(weights[chosen], run.gradient.astype(np.float64), axes=1)
        weight += float(weights[chosen].sum())
        yield _Integral(n_steps, part.stop, total, weight, run.displacement)


def _is_enough(line: _Line, integral: _Integral, tolerance: float | None) -> bool:
    if tolerance is None or 2 * integral.n_steps > MOST_STEPS:
        return True
    relative = _gap(line, integral)[1]
    return relative <= tolerance or math.isnan(relative)  # which no further step can mend


def _gap(line: _Line, integral: _Integral) -> tuple[float, float]:
    """How far the attributions' sum is from the target's change: absolute, and as its share."""
    absolute = abs(float(integral.values.sum()) - line.change)
    if line.change == 0.0:
        return absolute, 0.0 if absolute == 0.0 else math.inf
    return absolute, absolute / abs(line.change)


def _answer(
    subject: Subject,
    options: IntegratedGradients,
    line: _Line,
    integral: _Integral,
    n_evaluations: int,
    *,
    complete: bool,
) -> Attribution:
    absolute, relative = _gap(line, integral)
    geometry = subject.geometry
    maps = maps_of(integral.values[None], geometry, options.channels)
    figures: dict[str, Json] = {
        "n_steps": integral.n_done,
        "completeness_gap": finite(absolute),
        "relative_completeness_gap": finite(relative),
        "change": finite(line.change),
    }

    def record(values: Array, own: Geometry) -> dict[str, Json]:
        return trust_record(
            options,
            line.stands,
            n_evaluations=n_evaluations,
            complete=complete,
            figures=figures,
            warnings=[
                *gradient_warnings(straight_through=subject.straight_through),
                *fading_warnings(integral.total / integral.weight, line.x[0], geometry),
                *map_warnings(values),
                *centre_warnings(values, own),
                *_warnings(options, relative),
            ],
        )

    of_row = [part[0].astype(np.float32) for part in maps]
    return attributed("integrated_gradients", geometry, of_row, record)


def _warnings(options: IntegratedGradients, relative: float) -> list[str]:
    if math.isinf(relative):
        return ["no change: baseline and input score the same, the attributions only rearrange it"]
    if options.tolerance is not None and relative > options.tolerance:
        return [f"tolerance: {options.tolerance:g} was not reached, the gap is {relative:.2g}"]
    if relative > GAP_WORTH_A_WARNING:
        return [
            f"incomplete: the attributions miss {relative:.0%} of the target's change; use more "
            "steps, or a tolerance"
        ]
    return []
