"""Which function explains what: the tables through which the engine reaches every method.

An explainer takes a `Subject`, the question and the method's options, checked (`explain.parse`).
Interactive ones answer a whole batch out of one run; bulk ones are generators that do one slice of
model work between two yields and return the attribution, so that the engine can put other work in
between, stop at a deadline, or take `Progress.best` when a budget ends.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from candor.explain.cam import cam, resolve_cam
from candor.explain.cam_options import CAMS
from candor.explain.examine import examination_runs, examine
from candor.explain.gradient import gradient
from candor.explain.held import (
    occlusion_of_each,
    resolve_occlusion_of_each,
    resolved_for_each,
)
from candor.explain.integrated_gradients import (
    integrated_gradients,
    resolve_integrated_gradients,
)
from candor.explain.lime import lime, resolve_lime
from candor.explain.options import (
    Gradient,
    IntegratedGradients,
    Lime,
    Occlusion,
    Options,
    SmoothGrad,
)
from candor.explain.parts import map_shapes
from candor.explain.question import Progress, Question
from candor.explain.smooth_grad import resolve_smooth_grad, smooth_grad
from candor.explain.subject import Subject
from candor.explain.windows import slide
from candor.result import Attribution

__all__ = ["BULK", "INTERACTIVE", "evaluations", "in_slices", "resolve"]

Interactive: TypeAlias = Callable[[Subject, Sequence[Question], Any], list[Attribution]]
Bulk: TypeAlias = Callable[[Subject, Question, Any], Generator[Progress, None, Attribution]]

INTERACTIVE: Mapping[type[Options], Interactive] = MappingProxyType(
    {**dict.fromkeys(CAMS.values(), cam), Gradient: gradient}
)
"""Batches: the questions share shape, options and what is explained; targets differ per row."""

BULK: Mapping[type[Options], Bulk] = MappingProxyType(
    {
        SmoothGrad: smooth_grad,
        IntegratedGradients: integrated_gradients,
        Occlusion: occlusion_of_each,
        Lime: lime,
    }
)


def in_slices(
    subject: Subject, question: Question, options: Options
) -> Generator[Progress, None, Attribution]:
    """Explain by any method, slice by slice; examine the answer where the question asks for it.

    Raises:
        CandorError: as the method.
    """
    if question.trust == "basic":
        return (yield from _in_slices(subject, question, options))
    resolved = resolve(subject, question, options)  # one seed for all that is explained
    explain = partial(_in_slices, subject, options=resolved)
    n_explaining = _evaluations(subject, question, resolved)
    return (yield from examine(subject, question, resolved, explain, n_explaining))


def _in_slices(
    subject: Subject, question: Question, options: Options
) -> Generator[Progress, None, Attribution]:
    if type(options) in BULK:
        return (yield from BULK[type(options)](subject, question, options))
    yield Progress(0, 1)
    return INTERACTIVE[type(options)](subject, [question], options)[0]


_RESOLVERS: Mapping[type[Options], Callable[[Subject, Question, Any], Options]] = MappingProxyType(
    {
        **dict.fromkeys(CAMS.values(), resolve_cam),
        SmoothGrad: resolve_smooth_grad,
        IntegratedGradients: resolve_integrated_gradients,
        Occlusion: resolve_occlusion_of_each,
        Lime: resolve_lime,
    }
)


def resolve(subject: Subject, question: Question, options: Options) -> Options:
    """Settle what the options leave to the method, without running the model; idempotent.

    Equal resolved options mean the same explanation: cache by these. A `seed` of -1 becomes a fresh
    one, so ask before resolving whether the answer may be kept.

    Raises:
        InvalidOption, NotFound, Unsupported: options that do not suit this row or model.
    """
    resolver = _RESOLVERS.get(type(options))
    return resolver(subject, question, options) if resolver else options


def evaluations(subject: Subject, question: Question, options: Options) -> int:
    """At most how many rows an explanation runs through the model, without running any.

    With a tolerance, integrated gradients counts its first round only.

    Raises:
        InvalidOption, NotFound, Unsupported: as `resolve`.
    """
    once = _evaluations(subject, question, options)
    if question.trust == "basic":
        return once
    return once + examination_runs(question, subject.geometry, once)


def _evaluations(subject: Subject, question: Question, options: Options) -> int:
    resolved = resolve(subject, question, options)
    match resolved:
        case Lime():
            return resolved.n_samples
        case SmoothGrad():
            return resolved.n_samples + 1
        case IntegratedGradients():
            return resolved.n_steps + 2
        case Occlusion():
            shapes = map_shapes(question.x.shape[1:], subject.geometry)
            each = (
                resolved_for_each(subject, question, resolved)
                if subject.geometry.parts
                else [resolved]
            )
            return sum(
                int(np.prod(slide(shape, own.window, own.stride).shape)) + 1
                for shape, own in zip(shapes, each, strict=True)
            )
        case _:
            return 1
