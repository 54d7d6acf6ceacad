"""The mean of the gradients at noisy copies of the row."""

import secrets
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from candor.explain.gradient import REDUCTIONS
from candor.explain.options import SmoothGrad
from candor.explain.parts import (
    attributed,
    end_to_end,
    maps_of,
    values_of_parts,
    without_padding_of_parts,
)
from candor.explain.place_bias import centre_warnings, fading_warnings
from candor.explain.question import Progress, Question
from candor.explain.subject import Geometry, Subject
from candor.explain.target import Outcome, aim, directions, one_hot, outcome
from candor.explain.trust import finite, gradient_warnings, map_warnings, trust_record
from candor.result import Array, Attribution, Json

__all__ = ["resolve_smooth_grad", "smooth_grad"]

LOST = 0.5
"""Share of the noisy copies that must keep the row's top class, or the noise is too strong."""

_DRAWN = 2**19
"""Numbers drawn at a time: about 8 ms."""


@dataclass(frozen=True, slots=True)
class _Mean:
    """What is known after some of the samples: their sum, and how many kept the row's top class."""

    n: int
    total: Array
    n_kept: int


def resolve_smooth_grad(_: Subject, __: Question, options: SmoothGrad) -> SmoothGrad:
    """Draw the seed where it is asked to be fresh."""
    return replace(options, seed=secrets.randbelow(2**32)) if options.seed == -1 else options


def smooth_grad(
    subject: Subject, question: Question, options: SmoothGrad
) -> Generator[Progress, None, Attribution]:
    """Average the gradient over copies of the row with Gaussian noise, then reduce as `gradient`.

    The noise is `default_rng(seed).standard_normal([n_samples, *shape])`, times `noise` and the
    range (largest less smallest) of what is explained: the row, or its embedding. Of several inputs
    each has noise of its own range, drawn in one with the others': `shape` is then their values end
    to end. Padding tokens stay as they are and get exactly 0.

    Raises:
        InvalidInput: the scores of the row are not finite.
        InvalidTarget: a class that the model does not have.
    Source: Smilkov et al. 2017, section 3, arXiv:1706.03825.
    """
    resolved = resolve_smooth_grad(subject, question, options)
    n_samples = resolved.n_samples
    yield Progress(0, n_samples + 1)
    explained = question.explained or "score"
    toward, n_before = directions(subject, question.x, [question.target])
    run = subject.gradient(question.x, toward, explained)
    known = aim(question.target, run.scores)
    stands = outcome(known, run.scores, explained)
    spent, toward = n_before + 1, one_hot([known], subject.n_classes)
    scale = _scale(resolved.noise, run.value, subject.geometry)
    generator = np.random.default_rng(resolved.seed)
    mean = _Mean(0, np.zeros(run.value.shape[1:]), 0)
    top = int(run.scores.score[0].argmax())
    so_far = None
    yield Progress(spent, spent + n_samples)
    for part in subject.slices(n_samples):
        noise = np.empty((part.stop - part.start, *run.value.shape[1:]), np.float32)
        for some in _parts(noise):
            drawn = generator.standard_normal(some.shape) * scale
            some[...] = without_padding_of_parts(drawn, question.x, subject.geometry)
            if len(some) < len(noise):
                yield Progress(spent + mean.n, spent + n_samples, so_far)
        noisy = subject.noisy(question.x, noise, toward, explained)
        mean = _Mean(
            part.stop,
            mean.total + noisy.gradient.sum(axis=0, dtype=np.float64),
            mean.n_kept + int(np.count_nonzero(noisy.scores.score.argmax(axis=1) == top)),
        )
        so_far = partial(_answer, subject, question, resolved, stands, mean, spent)
        yield Progress(spent + mean.n, spent + n_samples, so_far)
    return _answer(subject, question, resolved, stands, mean, spent)


def _parts(noise: Array) -> Iterator[Array]:
    """So many samples at a time that drawing them takes milliseconds."""
    n = max(1, _DRAWN // max(1, noise[0].size))
    return (noise[start : start + n] for start in range(0, len(noise), n))


def _scale(noise: float, value: Array, geometry: Geometry) -> Array | float:
    """Of the noise, for each number of the explained value [1, ...]; one where one serves all."""
    parts = values_of_parts(value, geometry)
    scales = [noise * float(np.ptp(part)) for part in parts]
    if len(parts) == 1:
        return scales[0]
    spread = zip(scales, parts, strict=True)
    return end_to_end([np.full(part.shape, scale) for scale, part in spread], geometry)


def _answer(
    subject: Subject,
    question: Question,
    options: SmoothGrad,
    stands: Outcome,
    mean: _Mean,
    spent: int,
) -> Attribution:
    geometry = subject.geometry
    gradient = without_padding_of_parts((mean.total / mean.n)[None], question.x, geometry)
    maps = maps_of(REDUCTIONS[options.reduction](gradient), geometry, options.channels)
    kept = mean.n_kept / mean.n
    figures: dict[str, Json] = {"n_samples": mean.n, "same_top": finite(kept)}
    lost = f"noise: only {kept:.0%} of the noisy copies keep the row's top class; use less noise"

    def record(values: Array, own: Geometry) -> dict[str, Json]:
        return trust_record(
            options,
            stands,
            n_evaluations=spent + mean.n,
            complete=mean.n == options.n_samples,
            figures=figures,
            warnings=[
                *gradient_warnings(straight_through=subject.straight_through),
                *fading_warnings(gradient[0], question.x[0], geometry),
                *map_warnings(values),
                *centre_warnings(values, own),
                *([lost] if kept < LOST else []),
            ],
        )

    return attributed(
        "smooth_grad", geometry, [part[0].astype(np.float32) for part in maps], record
    )
