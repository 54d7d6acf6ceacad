"""From rows and answers to what the caller gets."""

from collections.abc import Mapping, Sequence
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
        tuple(
            tuple(_answer(plan, ask, found[ask.flight]) for ask in of_row)
            for _, of_row in groupby(of_method, key=lambda ask: ask.place[1])
        )
        for _, of_method in groupby(plan.asks, key=lambda ask: ask.place[0])
    )
    labels = labels_of(plan.model, plan.subject)
    return Explanation(_prediction(plan, rows), answers, timings_s, labels)


def _answer(plan: Plan, ask: Ask, found: Found) -> Answer:
    attribution = cut_to_view(found.entry.attribution, plan.views[ask.row])
    key = "" if found.not_explained else ask.key
    return Answer(attribution, found.status, key, found.complete, found.not_explained)


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
