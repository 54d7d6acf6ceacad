"""The mean of the gradients at noisy copies of the row."""

import secrets
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from candor.explain.gradient import REDUCTIONS
from candor.explain.layout import sum_channels, without_padding
from candor.explain.options import SmoothGrad
from candor.explain.question import Progress, Question
from candor.explain.subject import Subject
from candor.explain.target import Outcome, aim, directions, one_hot, outcome
from candor.explain.trust import finite, gradient_warnings, map_warnings, named, trust_record
from candor.result import Array, Attribution, Json

__all__ = ["resolve_smooth_grad", "smooth_grad"]

LOST = 0.5
"""Share of the noisy copies that must keep the row's top class, or the noise is too strong."""


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
    range (largest less smallest) of what is explained: the row, or its embedding. Padding tokens
    stay as they are and get exactly 0.

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
    scale = resolved.noise * float(np.ptp(run.value))
    generator = np.random.default_rng(resolved.seed)
    mean = _Mean(0, np.zeros(run.value.shape[1:]), 0)
    top = int(run.scores.score[0].argmax())
    for part in subject.slices(n_samples):
        drawn = generator.standard_normal((part.stop - part.start, *run.value.shape[1:]))
        drawn *= scale
        noise = without_padding(drawn, question.x, subject.geometry)
        noisy = subject.noisy(question.x, noise.astype(np.float32), toward, explained)
        mean = _Mean(
            part.stop,
            mean.total + noisy.gradient.sum(axis=0, dtype=np.float64),
            mean.n_kept + int(np.count_nonzero(noisy.scores.score.argmax(axis=1) == top)),
        )
        so_far = partial(_answer, subject, question, resolved, stands, mean, spent)
        yield Progress(spent + mean.n, spent + n_samples, so_far)
    return _answer(subject, question, resolved, stands, mean, spent)


def _answer(
    subject: Subject,
    question: Question,
    options: SmoothGrad,
    stands: Outcome,
    mean: _Mean,
    spent: int,
) -> Attribution:
    gradient = without_padding((mean.total / mean.n)[None], question.x, subject.geometry)
    reduced = REDUCTIONS[options.reduction](gradient)
    values = sum_channels(reduced, subject.geometry, options.channels)[0].astype(np.float32)
    kept = mean.n_kept / mean.n
    figures: dict[str, Json] = {"n_samples": mean.n, "same_top": finite(kept)}
    lost = f"noise: only {kept:.0%} of the noisy copies keep the row's top class; use less noise"
    trust = trust_record(
        options,
        stands,
        n_evaluations=spent + mean.n,
        complete=mean.n == options.n_samples,
        figures=figures,
        warnings=[
            *gradient_warnings(straight_through=subject.straight_through),
            *map_warnings(values),
            *([lost] if kept < LOST else []),
        ],
    ) | named(subject.geometry.features)
    return Attribution("smooth_grad", values, trust)
