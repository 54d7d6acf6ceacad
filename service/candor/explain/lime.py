"""LIME: a local linear model over segments that are kept or removed, or over drawn records.

Draws, kernel and regression are those of the lime package (of series, of Lime-For-Time), so that
equal probabilities give equal coefficients.
"""

import math
import secrets
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from candor.errors import InternalError
from candor.explain.fills import resolve_fill
from candor.explain.lime_answer import answer, fitting, is_settled, nothing_to_remove
from candor.explain.lime_samples import Samples, draw_samples
from candor.explain.lime_several import cut_several, resolve_several
from candor.explain.options import Lime
from candor.explain.question import Progress, Question
from candor.explain.segments import cut, is_apart, segments_kind
from candor.explain.steps import ended
from candor.explain.subject import Geometry, Subject
from candor.explain.target import Outcome, aim, fixed, measure_changed, outcome
from candor.result import Array, Attribution

__all__ = ["lime", "resolve_lime"]

T = TypeVar("T")

FIRST_LOOK = 100
LOOK_AGAIN = 1.25
"""With a tolerance: samples until the first look at what they say, and their growth to the next."""

COSINE_WIDTH = 0.25
EUCLIDEAN_WIDTH = 0.75
"""lime's kernels: of masks, and of drawn records for each square root of a column."""


def resolve_lime(subject: Subject, question: Question, options: Lime) -> Lime:
    """Settle how the row is cut, what a removed segment becomes, the kernel and the seed.

    Raises:
        InvalidOption: a way to cut, a fill or channels that this kind of input does not have.
    """
    geometry = subject.geometry
    if geometry.parts:
        return resolve_several(options, geometry, COSINE_WIDTH)
    is_apart(options, geometry)
    baseline = resolve_fill(options.baseline, geometry, grouped=question.segments is not None)
    width = (
        EUCLIDEAN_WIDTH * math.sqrt(len(geometry.columns))
        if baseline == "training"
        else COSINE_WIDTH
    )
    return replace(
        options,
        segments=segments_kind(options, geometry),
        baseline=baseline,
        kernel_width=options.kernel_width or width,
        seed=secrets.randbelow(2**32) if options.seed == -1 else options.seed,
    )


def lime(
    subject: Subject, question: Question, options: Lime
) -> Generator[Progress, None, Attribution]:
    """Fit which segments speak for the target, on random perturbations of the row.

    The value of a position is its segment's coefficient: what keeping the segment (or, of drawn
    records, the column's bin or category) adds to the target's probability (or score). Positions
    that are never removed get 0. With a tolerance, sampling ends when redrawn samples would keep
    all but that share of the leading segments, by the wild bootstrap of `resampling`.

    Raises:
        InvalidInput, InvalidOption, InvalidTarget, TooLarge: segments that do not fit the row, or
            a model that answers without a finite number; options that do not fit its kind; no such
            class; more segments or samples than memory allows.
    Source: Ribeiro et al. 2016, arXiv:1602.04938, as implemented by lime 0.2.0.1; of series,
        Metzenthin's Lime-For-Time.
    """
    geometry = subject.geometry
    fixed(question.target, subject.n_classes)  # refused before any work rather than after a slice
    resolved = resolve_lime(subject, question, options)
    segmentation = (cut_several if geometry.parts else cut)(question, resolved, geometry)
    if segmentation.n == 0:
        yield Progress(0, 1)
        return nothing_to_remove(subject, question, resolved, segmentation)
    drawing = draw_samples(subject, question, resolved, segmentation)
    samples = yield from _reported(drawing, Progress(0, resolved.n_samples))
    yield Progress(0, samples.n_runs)

    explained = question.explained or "probability"
    values = np.empty(samples.n_runs)
    stands: Outcome | None = None
    for part, looks in _parts(subject, samples.n_runs, adaptive=resolved.tolerance is not None):
        scores = samples.run(part)
        stands = stands or outcome(aim(question.target, scores), scores, explained)
        values[part] = measure_changed(stands.aim, scores, explained, "with segments removed")
        known = values[: part.stop]
        best = partial(_so_far, samples, stands, known, geometry)
        if looks:
            progress = Progress(part.stop, samples.n_runs, best)
            fitted = yield from _reported(fitting(samples, known), progress)
            if is_settled(resolved, fitted):
                return answer(samples, stands, fitted, geometry, complete=True)
        yield Progress(part.stop, samples.n_runs, best)
    if stands is None:
        raise InternalError("the model's slices cover no sample")
    progress = Progress(samples.n_runs, samples.n_runs)
    fitted = yield from _reported(fitting(samples, values), progress)
    return answer(samples, stands, fitted, geometry, complete=True)


def _so_far(samples: Samples, stands: Outcome, known: Array, geometry: Geometry) -> Attribution:
    """The answer from what is known, done at once."""
    return answer(samples, stands, ended(fitting(samples, known)), geometry, complete=False)


def _reported(
    steps: Generator[object, None, T], progress: Progress
) -> Generator[Progress, None, T]:
    """Steps that evaluate nothing, as progress."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
        yield progress


def _parts(subject: Subject, n: int, *, adaptive: bool) -> Iterator[tuple[slice, bool]]:
    """Cut n samples into slices; say after which ones to look whether they are enough."""
    start, end = 0, min(FIRST_LOOK, n) if adaptive else n
    while start < n:
        for part in subject.slices(end - start):
            stop = start + part.stop
            yield slice(start + part.start, stop), adaptive and stop == end < n
        start, end = end, min(n, max(end + 1, int(end * LOOK_AGAIN)))
