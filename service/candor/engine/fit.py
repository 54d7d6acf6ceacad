"""Whether a cached entry can be an answer to the question it was found for.

The MAC of an entry keeps strangers out only where the secret is one; a namespace's name is none. So
what a stranger could write must not be able to do more than lie: nothing after this check may fail
on an entry's form.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from candor.engine.entry import Entry
from candor.engine.model import Output
from candor.engine.plan import Ask, Plan
from candor.explain.layout import position_shape
from candor.explain.parse import method_name
from candor.explain.parts import map_names, mapped
from candor.explain.subject import Geometry
from candor.result import Array, Attribution

__all__ = ["fits"]


def fits(plan: Plan, ask: Ask, entry: Entry) -> bool:
    """Whether method, shapes, outputs and trust record are those that the question asks for."""
    attribution, scores = entry.attribution, entry.scores
    row, geometry = ask.question.x.shape[1:], mapped(plan.subject.geometry, ask.options)
    n_classes = plan.subject.n_classes
    return (
        attribution.method == method_name(ask.options)
        and _are_maps(attribution, row, geometry)
        and all(_is_trust(one.trust, attribution.method, n_classes) for one in attribution.others)
        and scores is not None
        and scores.score.shape == (1, plan.model.n_classes)  # of the default output, always
        and _is_answer(entry.outputs, plan.model.outputs)
        and _is_trust(attribution.trust, attribution.method, n_classes)
    )


def _are_maps(attribution: Attribution, row: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether there is a map of each input that is explained, and segments where there may be."""
    if geometry.parts:
        maps = attribution.maps
        return [one.input for one in maps] == list(map_names(geometry)) and all(
            _is_map(one.values.shape, position_shape(part.shape, part.geometry), part.shape)
            and (one.segments is None or one.segments.shape == one.values.shape)
            for one, part in zip(maps, geometry.parts, strict=True)
        )
    positions = position_shape(row, geometry)
    return (
        not attribution.input
        and not attribution.others
        and _is_map(attribution.values.shape, positions, row)
        and (attribution.segments is None or attribution.segments.shape in {positions, row})
    )


def _is_map(shape: tuple[int, ...], positions: tuple[int, ...], row: tuple[int, ...]) -> bool:
    """One value a position, or the row's own shape, or that of its embedding."""
    return shape in {positions, row} or (len(shape) == len(row) + 1 and shape[:-1] == row)


def _is_answer(outputs: Mapping[str, Array], declared: Iterable[Output]) -> bool:
    shapes = {output.name: output.shape for output in declared}
    return outputs.keys() == shapes.keys() and all(
        array.ndim == max(1, len(shapes[name]))
        and all(
            size in {-1, found}
            for size, found in zip(shapes[name][1:], array.shape[1:], strict=True)
        )
        for name, array in outputs.items()
    )


def _is_trust(trust: Mapping[str, Any], method: str, n_classes: int) -> bool:
    target = trust.get("target")
    return (
        trust.get("method") == method
        and trust.get("explained") in {"score", "probability"}
        and isinstance(trust.get("options"), dict)
        and isinstance(trust.get("figures"), dict)
        and isinstance(trust.get("warnings"), list)
        and type(trust.get("n_evaluations")) is int
        and trust.get("complete") is True
        and all(type(trust.get(name)) in {int, float} for name in ("score", "probability"))
        and isinstance(target, dict)
        and _is_class(target.get("plus"), n_classes)
        and (target.get("minus") is None or _is_class(target["minus"], n_classes))
    )


def _is_class(index: object, n_classes: int) -> bool:
    return type(index) is int and 0 <= index < n_classes
