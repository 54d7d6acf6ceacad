"""Class activation maps: the graph computes them, out of the same run as the prediction."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from candor.errors import InvalidOption
from candor.explain.cam_options import CAMS, CamOptions
from candor.explain.parse import method_name
from candor.explain.parts import (
    attributed,
    geometries,
    map_names,
    mapped,
    parts_of_maps,
    rows_of_parts,
)
from candor.explain.place_bias import centre_warnings
from candor.explain.question import Question
from candor.explain.subject import CamFormula, Geometry, Subject
from candor.explain.target import Outcome, aim, directions, outcome
from candor.explain.trust import gradient_warnings, map_warnings, trust_record
from candor.result import Array, Attribution, Json

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
    geometry = mapped(subject.geometry, resolved)
    answers = []
    for row, question in enumerate(questions):
        stands = outcome(aim(question.target, scores, row), scores, "score", row)

        def record(values: Array, own: Geometry, stands: Outcome = stands) -> dict[str, Json]:
            warnings = [
                *gradient_warnings(straight_through=estimated),
                *map_warnings(values, empty=_NOWHERE),
                *centre_warnings(values, own),
            ]
            return trust_record(resolved, stands, n_evaluations=n_before + 1, warnings=warnings)

        own_maps = _of_each(maps[row : row + 1], question.x, subject.geometry, resolved)
        answers.append(attributed(method, geometry, own_maps, record))
    return answers


def _of_each(maps: Array, x: Array, geometry: Geometry, options: CamOptions) -> list[Array]:
    """The maps of one row [1, ...], of each part that the layer has the positions of."""
    rows = dict(zip(map_names(geometry), rows_of_parts(x, geometry), strict=True))
    chosen = mapped(geometry, options)
    cut = parts_of_maps(maps.astype(np.float32, copy=False), x.shape[1:], chosen)
    return [
        _of_words(one[0], rows[name][0], own, scaled=options.normalise)
        for name, own, one in zip(map_names(chosen), geometries(chosen), cut, strict=True)
    ]


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
