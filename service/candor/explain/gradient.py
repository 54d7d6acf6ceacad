"""The derivative of the target with respect to the input (tokens: to the embedding's output)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

from candor.errors import InternalError
from candor.explain.options import Gradient
from candor.explain.parts import attributed, maps_of, without_padding_of_parts
from candor.explain.place_bias import centre_warnings, fading_warnings
from candor.explain.question import Question
from candor.explain.subject import Geometry, GradientRun, Subject
from candor.explain.target import Outcome, aim, directions, outcome
from candor.explain.trust import gradient_warnings, map_warnings, trust_record
from candor.result import Array, Attribution, Explained, Json

__all__ = ["REDUCTIONS", "gradient", "reduce_gradient"]

REDUCTIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {"abs": np.abs, "signed": np.asarray, "squared": np.square}
)


def gradient(
    subject: Subject, questions: Sequence[Question], options: Gradient
) -> list[Attribution]:
    """Differentiate each row's target in one run of the batch.

    Values are in units of the target per unit of input (`abs`, `signed`), its square (`squared`),
    or of the target itself (`times_input`). Padding tokens get exactly 0.

    Raises:
        InvalidInput: a row's scores are not finite.
        InvalidTarget: a class that the model does not have.
    Source: Simonyan et al. 2014, arXiv:1312.6034; `squared`: the sensitivity analysis of Montavon
        et al. 2018, arXiv:1706.07979.
    """
    explained = _shared(questions)
    x = np.concatenate([question.x for question in questions])
    toward, n_before = directions(subject, x, [question.target for question in questions])
    run = subject.gradient(x, toward, explained)
    geometry = subject.geometry
    reduced = without_padding_of_parts(reduce_gradient(run, options), x, geometry)
    maps = maps_of(reduced, geometry, options.channels)
    answers = []
    for row, question in enumerate(questions):
        stands = outcome(aim(question.target, run.scores, row), run.scores, explained, row)
        warnings = [
            *gradient_warnings(straight_through=subject.straight_through),
            *fading_warnings(run.gradient[row], x[row], geometry),
        ]
        record = partial(_record, options, stands, n_before + 1, warnings)
        answers.append(attributed("gradient", geometry, [part[row] for part in maps], record))
    return answers


def _record(
    options: Gradient,
    stands: Outcome,
    n_evaluations: int,
    warnings: Sequence[str],
    values: Array,
    geometry: Geometry,
) -> dict[str, Json]:
    found = [*warnings, *map_warnings(values), *centre_warnings(values, geometry)]
    return trust_record(options, stands, n_evaluations=n_evaluations, warnings=found)


def reduce_gradient(run: GradientRun, options: Gradient) -> Array:
    """First times the input, then `abs`, `signed` or `squared`; the sum over channels comes after.

    So the sum is of magnitudes, not the magnitude of a sum. Returns the gradient's shape.
    """
    values = run.gradient * run.value if options.times_input else run.gradient
    return REDUCTIONS[options.reduction](values)


def _shared(questions: Sequence[Question]) -> Explained:
    asked: set[Explained] = {question.explained or "score" for question in questions}
    if len(asked) != 1:
        raise InternalError("one batch was asked to explain both scores and probabilities")
    return asked.pop()
