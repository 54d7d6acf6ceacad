"""Class activation maps: the graph computes them, out of the same run as the prediction."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from candor.errors import InvalidOption
from candor.explain.cam_options import CAMS, CamOptions
from candor.explain.parse import method_name
from candor.explain.question import Question
from candor.explain.subject import CamFormula, Geometry, Subject
from candor.explain.target import aim, directions, outcome
from candor.explain.trust import gradient_warnings, map_warnings, trust_record
from candor.result import Array, Attribution

__all__ = ["cam", "resolve_cam"]

_FORMULAS: Mapping[type[CamOptions], CamFormula] = MappingProxyType(
    {options: formula for formula, options in CAMS.items()}
)

_EPSILON = np.float32(1e-7)
"""Added to a range before it divides, as pytorch-grad-cam does."""

_NOWHERE = "no place of the layer speaks for the target; what speaks against it is cut off"


def resolve_cam(subject: Subject, question: Question, options: CamOptions) -> CamOptions:
    """Name the layer.

    Raises:
        InvalidOption: a probability is to be explained; these maps are of the score.
        NotFound, Unsupported: no such layer; no map in this model.
    """
    if question.explained == "probability":
        raise InvalidOption(
            f"{method_name(options)} explains the score; probability can be explained by gradient, "
            "smooth_grad, integrated_gradients, occlusion and lime"
        )
    layer = subject.cam_layer(_FORMULAS[type(options)], options.layer)
    return type(options)(layer=layer, normalise=options.normalise)


def cam(subject: Subject, questions: Sequence[Question], options: CamOptions) -> list[Attribution]:
    """Map which positions of a layer speak for each row's target, in one run of the batch.

    Values are 0..1, or with `normalise=false` in units of the score. Padding tokens get exactly 0,
    and the others are scaled among themselves, as in a row that has no padding.

    Raises:
        InvalidOption, NotFound, Unsupported: as `resolve_cam`.
        InvalidInput: a row's scores are not finite.
        InvalidTarget: a class that the model does not have.
    Source: as the formulas in `runtime.programs.cam_formulas`; post-processing of pytorch-grad-cam.
    """
    method = method_name(options)
    resolved = resolve_cam(subject, questions[0], options)
    rows = [question.x for question in questions]
    x = rows[0] if len(rows) == 1 else np.concatenate(rows)
    toward, n_before = directions(subject, x, [question.target for question in questions])
    scores, maps = subject.cam(
        x, toward, _FORMULAS[type(options)], resolved.layer or "", normalise=resolved.normalise
    )
    estimated = method != "cam" and subject.straight_through  # cam takes no gradient
    answers = []
    for row, question in enumerate(questions):
        values = np.asarray(maps[row], dtype=np.float32)
        values = _of_words(values, question.x[0], subject.geometry, scaled=resolved.normalise)
        stands = outcome(aim(question.target, scores, row), scores, "score", row)
        warnings = [
            *gradient_warnings(straight_through=estimated),
            *map_warnings(values, empty=_NOWHERE),
        ]
        trust = trust_record(resolved, stands, n_evaluations=n_before + 1, warnings=warnings)
        answers.append(Attribution(method, values, trust))
    return answers


def _of_words(values: Array, row: Array, geometry: Geometry, *, scaled: bool) -> Array:
    """Take padding out of a map [t]; scaling again undoes what it had on the range."""
    if geometry.kind != "tokens" or geometry.pad is None:
        return values
    words = row != geometry.pad
    if words.all():
        return values
    if scaled and words.any():
        low, high = values[words].min(), values[words].max()
        values = (values - low) / (high - low + _EPSILON)
    return np.where(words, values, np.float32(0))
