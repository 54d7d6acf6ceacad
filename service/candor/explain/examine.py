"""Full trust: an attribution put to the test of what the model does when parts of the row go.

Deletion and insertion curves (Petsiuk et al. 2018, arXiv:1806.07421), infidelity and
max-sensitivity (Yeh et al. 2019, arXiv:1901.09392), by the definitions of RISE's evaluation and of
captum. The work goes in slices like any long method's, after the explanation itself. What it adds
to the record:

  "trust": "full"
  "figures"       deletion_auc, insertion_auc (of the target's probability), infidelity,
                  relative_infidelity, faithfulness_correlation, max_sensitivity; null where
                  `not_measured` says why
  "examined": {
    "n_steps": 28, "positions_per_step": 147,       of each curve
    "deletion": [...], "insertion": [...]           the curves, n_steps + 1 probabilities each
    "baseline": 0.0, "insertion_baseline": "blur"   what stands where something is removed: a
                                                    number, or `typical` of the training data
    "n_removals": 50                                of the infidelity
    "n_noisy": 5, "radius": 0.08                    of the max-sensitivity; in units of the input,
                                                    where they are known of each column
    "seed": 0                                       of the draws: the method's, else 0
    "n_evaluations": 159                            of all this; counted in the record's own, too
    "not_measured": {"max_sensitivity": "..."}      reasons
  }
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from candor.errors import InvalidInput
from candor.explain.examination import (
    N_REMOVALS,
    Found,
    Trial,
    columns_of,
    curves,
    losses,
    removable,
    trial_of,
)
from candor.explain.fidelity import MOST_STEPS, relative_change
from candor.explain.options import Options
from candor.explain.question import Progress, Question
from candor.explain.subject import Geometry, Subject
from candor.explain.trust import finite
from candor.geometry import NumberColumn
from candor.result import Array, Attribution, Json, Target

__all__ = ["N_NOISY", "RADIUS", "examination_runs", "examine"]

N_NOISY = 5
RADIUS = 0.02
"""Of the noise, as a share of the row's range: captum's number, which it takes of the unit."""

Steps: TypeAlias = Generator[Progress, None, Attribution]


def examination_runs(question: Question, geometry: Geometry, n_explaining: int) -> int:
    """How many rows an examination runs at most, where one explanation runs `n_explaining`."""
    n_positions = int(removable(question.x, geometry).sum())
    n_steps = -(-n_positions // max(1, -(-n_positions // MOST_STEPS)))
    n_noisy = 0 if _without_neighbours(question.x, geometry) else N_NOISY
    return 2 * (n_steps + 1) + N_REMOVALS + 1 + n_noisy * n_explaining


def examine(
    subject: Subject,
    question: Question,
    options: Options,
    explain: Callable[[Question], Steps],
    n_explaining: int,
) -> Steps:
    """Explain, and add the figures of full trust to the record.

    Args:
        subject: the model.
        question: a row and its target.
        options: of the method.
        explain: the method, in slices.
        n_explaining: at most how many rows it runs.
    """
    total = n_explaining + examination_runs(question, subject.geometry, n_explaining)
    attribution = yield from _within(explain(question), 0, total, None)
    of = trial_of(subject, question, options, attribution)
    found = Found(details={"baseline": of.absent})

    def best() -> Attribution:
        return _recorded(of, found, complete=False)

    began = _n_evaluations(attribution)
    for stage in (curves(of, found), losses(of, found)):
        for n in stage:
            found.n_evaluations += n
            done = began + found.n_evaluations
            yield Progress(done, max(total, done), best)
    yield from _sensitivity(of, found, explain, total, best)
    return _recorded(of, found, complete=True)


def _sensitivity(
    of: Trial,
    found: Found,
    explain: Callable[[Question], Steps],
    total: int,
    best: Callable[[], Attribution],
) -> Generator[Progress, None, None]:
    """Explain the row again with a little noise on it: how much of the map changes at most?"""
    why = _without_neighbours(of.question.x, of.subject.geometry)
    why = why or ("" if np.any(of.attribution.values) else "the map is zero everywhere")
    if why:
        return found.refuse(why, "max_sensitivity")
    began, largest = _n_evaluations(of.attribution), 0.0
    for nearby in _neighbours(of, found):
        done = began + found.n_evaluations
        try:
            other = yield from _within(explain(nearby), done, total, best)
        except InvalidInput as error:
            return found.refuse(error.message, "max_sensitivity")
        found.n_evaluations += _n_evaluations(other)
        largest = max(largest, relative_change(of.attribution.values, other.values))
    found.figures["max_sensitivity"] = finite(largest)


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


def _without_neighbours(x: Array, geometry: Geometry) -> str:
    """Why there is nothing near a row that could be explained as well; "" where there is."""
    if geometry.kind == "tokens" or x.dtype.kind != "f":
        return f"the row holds {x.dtype} numbers, to which no small noise can be added"
    if x.size == 0 or not _radius(x, geometry).any():
        return "there is no scale for the noise: the row has one value, or categories only"
    return ""


def _within(steps: Steps, done: int, total: int, best: Callable[[], Attribution] | None) -> Steps:
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


def _n_evaluations(attribution: Attribution) -> int:
    n = attribution.trust.get("n_evaluations")
    return n if isinstance(n, int) else 0


def _recorded(of: Trial, found: Found, *, complete: bool) -> Attribution:
    """The attribution with what is known of it in its record."""
    before = of.attribution.trust
    figures = before.get("figures")
    late = {} if complete else dict.fromkeys(found.figures, "the time was over before")
    known = {name for name, value in found.figures.items() if value is not None}
    why: dict[str, Json] = {n: w for n, w in {**late, **found.why}.items() if n not in known}
    trust: dict[str, Json] = {
        **before,
        "trust": "full",
        "n_evaluations": _n_evaluations(of.attribution) + found.n_evaluations,
        "complete": complete,
        "figures": {**(figures if isinstance(figures, dict) else {}), **found.figures},
        "examined": {
            **found.details,
            "seed": of.seed,
            "n_evaluations": found.n_evaluations,
            "not_measured": why,
        },
    }
    return replace(of.attribution, trust=trust)
