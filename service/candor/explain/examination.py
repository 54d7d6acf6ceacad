"""The runs of an examination: what the model says where parts of a row are gone, slice by slice."""

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from candor.errors import InvalidInput
from candor.explain.baseline import absent_value, constant_baseline
from candor.explain.blur import rise_blurred
from candor.explain.fidelity import (
    area,
    correlation,
    infidelity,
    per_position,
    relative_infidelity,
    removal_steps,
    states,
)
from candor.explain.layout import position_shape, spread
from candor.explain.options import Options
from candor.explain.question import Question
from candor.explain.readings import read
from candor.explain.removals import draw_removals
from candor.explain.subject import Geometry, Subject
from candor.explain.tabular import typical_record
from candor.explain.target import Aim, measure
from candor.explain.trust import finite, numbers
from candor.geometry import Column
from candor.result import Array, Attribution, Explained, Json

__all__ = [
    "FIGURES",
    "N_REMOVALS",
    "Found",
    "Trial",
    "columns_of",
    "curves",
    "losses",
    "removable",
    "trial_of",
]

N_REMOVALS = 50

FIGURES = (
    "deletion_auc",
    "insertion_auc",
    "infidelity",
    "relative_infidelity",
    "faithfulness_correlation",
    "max_sensitivity",
    "class_correlation",
)

_OF_LOSSES = ("infidelity", "relative_infidelity", "faithfulness_correlation")

Slices = Generator[int, None, None]
"""Yields how many rows each slice ran."""


@dataclass(slots=True)
class Found:
    """What is known so far; one stage after the other fills it.

    Attributes:
        figures: all of `FIGURES`; None where not known.
        details: with what they were measured.
        why: for figures that cannot be measured, the reason.
        warnings: of the map, that an examination alone can find.
        n_evaluations: rows run so far.
    """

    figures: dict[str, Json] = field(default_factory=lambda: dict.fromkeys(FIGURES))
    details: dict[str, Json] = field(default_factory=dict)
    why: dict[str, Json] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    n_evaluations: int = 0

    def refuse(self, why: str, *names: str) -> None:
        """Say why figures are not measured."""
        self.why |= dict.fromkeys(names, why)


@dataclass(frozen=True, slots=True)
class Trial:
    """An attribution, and what it is tested with.

    Attributes:
        aim, explained: as the attribution's record has them.
        shape: of a position.
        removable: bool, position-shaped: all but padding.
        baseline: [1, ...], what stands where something is removed, and
        absent: the same in short: a number, or `typical` for the record of `typical_record`.
        seed: of all draws: the method's where it has one.
    """

    subject: Subject
    question: Question
    options: Options
    attribution: Attribution
    aim: Aim
    explained: Explained
    shape: tuple[int, ...]
    removable: Array
    baseline: Array
    absent: float | str
    seed: int


def trial_of(
    subject: Subject, question: Question, options: Options, attribution: Attribution
) -> Trial:
    """Put together what the stages need."""
    geometry, trust = subject.geometry, attribution.trust
    baseline, absent = _absent(question.x, geometry)
    return Trial(
        subject=subject,
        question=question,
        options=options,
        attribution=attribution,
        aim=_aim(trust.get("target")),
        explained="score" if trust.get("explained") == "score" else "probability",
        shape=position_shape(question.x.shape[1:], geometry),
        removable=removable(question.x, geometry),
        baseline=baseline,
        absent=absent,
        seed=max(0, getattr(options, "seed", 0)),
    )


def removable(x: Array, geometry: Geometry) -> Array:
    """Which positions of a row [1, ...] can be removed: all but padding."""
    if geometry.kind == "tokens" and geometry.pad is not None:
        return np.asarray(x[0] != geometry.pad)
    return np.ones(position_shape(x.shape[1:], geometry), dtype=bool)


def columns_of(x: Array, geometry: Geometry) -> tuple[Column, ...]:
    """What the training data had in each column of a record [1, f]; () where that is not known."""
    known = geometry.kind == "tabular" and x.shape[1:] == (len(geometry.columns),)
    return geometry.columns if known else ()


def curves(of: Trial, found: Found) -> Slices:
    """Take away the positions with the largest values first, then put them in first.

    A deletion ends at the baseline, an insertion starts there; that of an image starts from its
    blurred copy, in which no edge tells anything yet.
    """
    geometry = of.subject.geometry
    values = per_position(of.attribution.values, of.shape, geometry)
    chosen = values[of.removable]
    if chosen.size == 0 or np.ptp(chosen) <= 1e-12 * float(np.abs(chosen).max()):
        why = "every position has the same value, so that none comes first"
        return found.refuse(why, "deletion_auc", "insertion_auc")
    steps, n_steps = removal_steps(values, of.removable)
    is_image = geometry.kind == "image"
    found.details |= {
        "n_steps": n_steps,
        "positions_per_step": int((steps == 0).sum()),
        "insertion_baseline": "blur" if is_image else of.absent,
    }
    start = rise_blurred(of.question.x, geometry) if is_image else of.baseline
    for way, instead in (("deletion", of.baseline), ("insertion", start)):
        curve = np.empty(n_steps + 1)
        try:
            for part in of.subject.slices(n_steps + 1):
                there = states(n_steps, part, insertion=way == "insertion")
                scores = of.subject.perturb(of.question.x, instead, spread(steps, geometry), there)
                curve[part] = measure(of.aim, scores, "probability")
                yield part.stop - part.start
        except InvalidInput as error:
            found.refuse(error.message, f"{way}_auc")
            continue
        found.figures[f"{way}_auc"] = finite(area(curve))
        found.details[way] = numbers(curve)


def losses(of: Trial, found: Found) -> Slices:
    """Remove random parts, and compare what the target loses with what the map tells of them."""
    geometry, x = of.subject.geometry, of.question.x
    change = x[0].astype(np.float64) - of.baseline[0]
    reading = read(of.attribution, of.options, change, of.shape, geometry)
    if reading.cost is None or not of.removable.any():
        why = reading.why or "the row is all padding, of which nothing can be removed"
        return found.refuse(why, *_OF_LOSSES)
    rng = np.random.default_rng(of.seed)
    removals = draw_removals(geometry.kind, of.removable, N_REMOVALS, rng)
    positions = spread(np.arange(of.removable.size).reshape(of.shape), geometry)
    values, told = np.empty(N_REMOVALS + 1), np.zeros(N_REMOVALS + 1)  # the first removes nothing
    try:
        for part in of.subject.slices(N_REMOVALS + 1):
            removed = removals.masks(slice(max(part.start - 1, 0), part.stop - 1))
            if part.start == 0:
                removed = np.concatenate([np.zeros((1, removed.shape[1]), dtype=bool), removed])
            told[part] = removed @ reading.cost.ravel()
            scores = of.subject.perturb(x, of.baseline, positions, ~removed)
            values[part] = measure(of.aim, scores, of.explained)
            yield part.stop - part.start
    except InvalidInput as error:
        return found.refuse(error.message, *_OF_LOSSES)
    found.details["n_removals"] = N_REMOVALS
    lost, told = values[0] - values[1:], told[1:]
    found.figures["relative_infidelity"] = relative_infidelity(told, lost)
    if found.figures["relative_infidelity"] is None:
        found.refuse("nothing that was removed moved the target", "relative_infidelity")
    found.figures["faithfulness_correlation"] = correlation(told, lost)
    if found.figures["faithfulness_correlation"] is None:
        why = "the map tells the same of every removal, or every removal costs the same"
        found.refuse(why, "faithfulness_correlation")
    if reading.in_units:
        found.figures["infidelity"] = finite(infidelity(told, lost))
    else:
        found.refuse(reading.why, "infidelity")


def _absent(x: Array, geometry: Geometry) -> tuple[Array, float | str]:
    """Of a record what is typical of the training data, where known; else as `absent_value`."""
    columns = columns_of(x, geometry)
    if columns:
        return typical_record(columns).astype(x.dtype)[None], "typical"
    value = absent_value(None, geometry)
    return constant_baseline(x, value, geometry), value


def _aim(target: Json) -> Aim:
    match target:
        case {"plus": int(plus), "minus": int(minus)}:
            return Aim(plus, minus, top=False)
        case {"plus": int(plus)}:
            return Aim(plus, None, top=False)
        case _:
            raise TypeError(f"a trust record names the class that it is of, not {target!r}")
