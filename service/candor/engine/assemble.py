"""From rows and answers to what the caller gets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from candor.engine.batch import RowSays
from candor.engine.cut import cut_to_view, joined
from candor.engine.entry import Entry
from candor.engine.plan import Ask, Plan, labels_of
from candor.engine.request import Answer, Explanation, Prediction
from candor.result import CacheStatus, Scores

__all__ = ["Found", "assemble"]


@dataclass(frozen=True, slots=True)
class Found:
    """One answer with its origin, or why there is none."""

    entry: Entry
    status: CacheStatus
    complete: bool = True
    not_explained: str = ""


def assemble(
    plan: Plan,
    found: Mapping[str, Found],
    rows: Sequence[RowSays],
    timings_s: Mapping[str, float],
) -> Explanation:
    """Put every answer in its place.

    Args:
        plan: of the request.
        found: answers by flight.
        rows: what the model says of each row.
        timings_s: by stage.
    """
    answers = tuple(
        tuple(tuple(answers[at] for answers in row) for row in of_method)
        for of_method in _by_method(plan, found)
        for at in range(len(of_method[0][0]))
    )
    labels = labels_of(plan.model, plan.subject)
    return Explanation(_prediction(plan, rows), answers, timings_s, labels)


def _by_method(plan: Plan, found: Mapping[str, Found]) -> Iterator[list[list[list[Answer]]]]:
    """For each method by row, target and input; of all rows the inputs are the same."""
    for _, of_method in groupby(plan.asks, key=lambda ask: ask.place[0]):
        by_row = groupby(of_method, key=lambda ask: ask.place[1])
        yield [[_answers(plan, ask, found[ask.flight]) for ask in row] for _, row in by_row]


def _answers(plan: Plan, ask: Ask, found: Found) -> list[Answer]:
    """One for each map."""
    key = "" if found.not_explained else ask.key
    whole = cut_to_view(found.entry.attribution, plan.views[ask.row])
    return [
        Answer(one, found.status, key, found.complete, found.not_explained) for one in whole.maps
    ]


def _prediction(plan: Plan, rows: Sequence[RowSays]) -> Prediction:
    outputs = {name: joined([own[name] for own, _ in rows]) for name in rows[0][0]}
    scores = [row_scores for _, row_scores in rows if row_scores is not None]
    return Prediction(
        plan.model.id,
        outputs,
        Scores(
            np.concatenate([row.score for row in scores]),
            np.concatenate([row.probability for row in scores]),
        )
        if len(scores) == len(rows)
        else None,
        plan.model.labels,
        plan.views,
    )
