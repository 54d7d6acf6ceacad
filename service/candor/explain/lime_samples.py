"""What LIME fits its linear model on: the samples of one row, drawn before any of them is run."""

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from candor.explain.fills import segment_baseline
from candor.explain.kept import Kept
from candor.explain.layout import over_row
from candor.explain.lime_several import several_baseline
from candor.explain.options import Lime
from candor.explain.parts import geometries
from candor.explain.question import Question
from candor.explain.sampling import Draws, check_cells, distinct_masks, drawing
from candor.explain.segments import Segmentation
from candor.explain.subject import Subject
from candor.explain.surrogate import Factors, distance_weights, factorising, kernel_weights
from candor.explain.tabular import conditions, drawing_records, unseen
from candor.result import Array, Scores

__all__ = ["Samples", "draw_samples"]


@dataclass(frozen=True, slots=True)
class Samples:
    """What does not change while samples are run.

    Attributes:
        options: resolved.
        segmentation: of the row.
        factors: of the linear model on the first so many of m samples.
        index: int [m], the run that answers each.
        n_runs: how many rows go through the model, the unperturbed one first.
        run: what the model says of some of them.
        still: whether the baseline is the row itself, so that nothing can change.
        conditions: what each coefficient stands for, of drawn records; else ().
        warnings: about the samples themselves.
    """

    options: Lime
    segmentation: Segmentation
    factors: Callable[[int], Generator[None, None, Factors]]
    index: Array
    n_runs: int
    run: Callable[[slice], Scores]
    still: bool = False
    conditions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def draw_samples(
    subject: Subject, question: Question, options: Lime, segmentation: Segmentation
) -> Generator[int, None, Samples]:
    """Draw records as the training data had them, or masks over the row's segments.

    Yields between chunks of it, so that the clock can be looked at.

    Raises:
        InvalidInput, InvalidOption, TooLarge: the record has another number of columns than the
            manifest; a token id that is none; more samples than memory allows.
    """
    if options.baseline == "training":
        return (yield from _records(subject, question, options, segmentation))
    samples = yield from _masks(subject, question, options, segmentation)
    if any(own.kind == "tabular" and not own.columns for own in geometries(subject.geometry)):
        return replace(samples, warnings=(_UNKNOWN_DATA,))
    return samples


_UNKNOWN_DATA = (
    "no statistics: the model's manifest does not tell what its training data had "
    "(input.statistics), so that features were replaced by a number that may never occur there"
)


def _masks(
    subject: Subject, question: Question, options: Lime, segmentation: Segmentation
) -> Generator[int, None, Samples]:
    x, geometry, positions = question.x, subject.geometry, segmentation.positions
    if geometry.parts:
        baseline = several_baseline(x, positions, options, geometry)
    else:
        baseline = segment_baseline(x, positions, options.baseline, geometry, options.seed)
    still = bool(np.array_equal(baseline, x))
    width = options.kernel_width or 0.0
    if still:  # whatever is removed, the row stays what it is
        whole = np.ones((1, segmentation.n), dtype=bool)
        draws = Draws(whole, *distinct_masks(whole))
    else:
        draws = yield from drawing(
            geometry.kind,
            segmentation.n,
            options.n_samples,
            options.seed,
            segmentation.n_channels,
        )
    # the graph's Gather knows no -1; what is never removed equals its baseline, so any mask will do
    segments = over_row(np.maximum(positions, 0).astype(np.int64), x, geometry)
    return Samples(
        options,
        segmentation,
        factors=lambda n: _factors(draws.masks[:n], width),
        index=draws.runs,
        n_runs=len(draws.distinct),
        run=lambda part: subject.perturb(x, baseline, segments, draws.distinct[part]),
        still=still,
    )


_FACTORS: Kept[Factors] = Kept(32 * 2**20)
"""Of the whole process, by the masks themselves."""


def _factors(masks: Array, width: float) -> Generator[None, None, Factors]:
    content = hashlib.blake2b(masks.tobytes(), digest_size=16).digest()
    key = (masks.shape, content, width)
    found = _FACTORS.find(key)
    if found is None:
        made = yield from factorising(masks, kernel_weights(masks, width))
        found = _FACTORS.keep(key, made)
    return found


def _records(
    subject: Subject, question: Question, options: Lime, segmentation: Segmentation
) -> Generator[int, None, Samples]:
    geometry, row = subject.geometry, question.x[0]
    check_cells(options.n_samples, segmentation.n)
    found = yield from drawing_records(
        geometry.columns, row, options.n_samples, options.seed, discretise=options.discretise
    )
    records = found.records.astype(row.dtype)
    weights = distance_weights(found.design, options.kernel_width or 0.0)
    names = geometry.features
    strange = unseen(geometry.columns, names, row)
    return Samples(
        options,
        segmentation,
        factors=lambda n: factorising(found.design[:n], weights[:n]),
        index=np.arange(options.n_samples),
        n_runs=options.n_samples,
        run=lambda part: subject.predict(records[part]),
        conditions=tuple(conditions(geometry.columns, names, row, discretise=options.discretise)),
        warnings=(f"unseen: the training data never had {', '.join(strange)}",) if strange else (),
    )
