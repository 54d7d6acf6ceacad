"""The runs of an examination that explain again: nearby rows, and another class of the same row."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from candor.errors import InvalidInput
from candor.explain.examination import Found, Trial, columns_of
from candor.explain.fidelity import per_position, relative_change
from candor.explain.question import Progress, Question
from candor.explain.similarity import rank_correlation
from candor.explain.subject import Geometry
from candor.explain.trust import finite
from candor.geometry import NumberColumn
from candor.result import Array, Attribution, Target

__all__ = [
    "N_NOISY",
    "RADIUS",
    "Steps",
    "n_evaluations_of",
    "other_class",
    "sensitivity",
    "within",
    "without_neighbours",
]

N_NOISY = 5
RADIUS = 0.02
"""Of the noise, as a share of the row's range: captum's number, which it takes of the unit."""

ALIKE = 0.95
"""Rank correlation from which two maps say the same."""

Steps: TypeAlias = Generator[Progress, None, Attribution]


def sensitivity(
    of: Trial,
    found: Found,
    explain: Callable[[Question], Steps],
    total: int,
    best: Callable[[], Attribution],
) -> Generator[Progress, None, None]:
    """Explain the row again with a little noise on it: how much of the map changes at most?"""
    why = without_neighbours(of.question.x, of.subject.geometry)
    why = why or ("" if np.any(of.attribution.values) else "the map is zero everywhere")
    if why:
        return found.refuse(why, "max_sensitivity")
    began, largest = n_evaluations_of(of.attribution), 0.0
    for nearby in _neighbours(of, found):
        done = began + found.n_evaluations
        try:
            other = yield from within(explain(nearby), done, total, best)
        except InvalidInput as error:
            return found.refuse(error.message, "max_sensitivity")
        found.n_evaluations += n_evaluations_of(other)
        largest = max(largest, relative_change(of.attribution.values, other.values))
    found.figures["max_sensitivity"] = finite(largest)


def other_class(
    of: Trial,
    found: Found,
    explain: Callable[[Question], Steps],
    total: int,
    best: Callable[[], Attribution] | None,
) -> Generator[Progress, None, None]:
    """Explain the best class but the target: a map that stays the same does not tell classes apart.

    Source: the class-insensitivity of Nie et al. 2018, arXiv:1805.07039, and Sixt et al. 2020,
        arXiv:1912.09818; the measure is that of Adebayo et al. 2018, arXiv:1810.03292.
    """
    if of.aim.minus is not None:
        return found.refuse("a difference of two classes is explained", "class_correlation")
    scores = of.subject.predict(of.question.x).score[0].astype(np.float64)
    found.n_evaluations += 1
    scores[of.aim.plus] = -np.inf
    other = int(np.argmax(scores))
    found.details["other_class"] = other
    done = n_evaluations_of(of.attribution) + found.n_evaluations
    question = replace(of.question, target=Target(other))
    try:
        answer = yield from within(explain(question), done, total, best)
    except InvalidInput as error:
        return found.refuse(error.message, "class_correlation")
    found.n_evaluations += n_evaluations_of(answer)
    own, others = (
        per_position(each.values, of.shape, of.subject.geometry)[of.removable]
        for each in (of.attribution, answer)
    )
    alike = rank_correlation(own, others)
    if alike is None:
        why = "one of the two maps has the same value everywhere"
        return found.refuse(why, "class_correlation")
    found.figures["class_correlation"] = finite(alike)
    if alike >= ALIKE:
        found.warnings.append(
            f"same for another class: the map for class {other} ranks the positions alike "
            f"(correlation {alike:.2f}); this one does not say why class {of.aim.plus}"
        )


def _neighbours(of: Trial, found: Found) -> Iterator[Question]:
    """The same question at inputs nearby, of the class that was explained."""
    x = of.question.x
    radius = _radius(x, of.subject.geometry)
    found.details |= {"n_noisy": N_NOISY, "radius": radius.tolist()}
    rng = np.random.default_rng([of.seed, 1])  # another stream than that of the removals
    target = Target(of.aim.plus, of.aim.minus)
    for _ in range(N_NOISY):
        noise = rng.uniform(-radius, radius, x.shape)
        yield replace(of.question, x=(x + noise).astype(x.dtype), target=target)


def _radius(x: Array, geometry: Geometry) -> Array:
    """Of the noise: one for all, or of a record one for each column, of which categories have none.

    Where nothing is known of the columns they are taken to have one scale.
    """
    columns = columns_of(x, geometry)
    if not columns:
        return np.asarray(RADIUS * float(np.ptp(x)))
    ranges = [c.high - c.low if isinstance(c, NumberColumn) else 0.0 for c in columns]
    return RADIUS * np.array(ranges)


def without_neighbours(x: Array, geometry: Geometry) -> str:
    """Why there is nothing near a row that could be explained as well; "" where there is."""
    if geometry.kind == "tokens" or x.dtype.kind != "f":
        return f"the row holds {x.dtype} numbers, to which no small noise can be added"
    if x.size == 0 or not _radius(x, geometry).any():
        return "there is no scale for the noise: the row has one value, or categories only"
    return ""


def within(steps: Steps, done: int, total: int, best: Callable[[], Attribution] | None) -> Steps:
    """The same steps as a part of more work, whose best so far counts where it has one."""
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                attribution: Attribution = end.value
                return attribution
            so_far = done + progress.done
            yield Progress(so_far, max(total, so_far), best or progress.best)
    finally:
        steps.close()


def n_evaluations_of(attribution: Attribution) -> int:
    """How many rows its record says that it ran."""
    n = attribution.trust.get("n_evaluations")
    return n if isinstance(n, int) else 0
