"""Explanations for the rows that call for one, and what is answered for the others.

A row that is not explained gets a map of NaN, which nobody can mistake for an explanation, average
into one, or draw: zeros would read as "nothing in this row matters". Its trust record says why.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from candor.engine.assemble import Found
from candor.engine.batch import RowSays
from candor.engine.cut import groups_of, x_of
from candor.engine.deadline import Deadline
from candor.engine.entry import Entry
from candor.engine.guard import refuse_overflow
from candor.engine.house import House, named
from candor.engine.plan import Ask, Plan
from candor.engine.request import Condition
from candor.engine.rows import Rows
from candor.errors import InternalError, InvalidOption
from candor.explain.options import Lime
from candor.explain.parts import attributed, map_shapes, mapped
from candor.explain.target import aim, outcome
from candor.explain.trust import trust_record
from candor.result import Scores

__all__ = ["parse_condition", "passed_over"]

_FORM: Final = re.compile(r"\s*top_probability\s*(<=?|>=?)\s*([0-9.eE+-]{1,24})\s*", re.ASCII)
_HOLDS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)


def parse_condition(text: str) -> Condition:
    """Read `top_probability<0.6`; also with <=, > and >=.

    Raises:
        InvalidOption: it is no such thing, or no probability.
    """
    found = _FORM.fullmatch(text)
    try:
        bound = float(found[2]) if found else -1.0
    except ValueError:
        bound = -1.0
    if found is None or not 0 <= bound <= 1:
        raise InvalidOption(
            f"explain_if is '{text[:60]}'; expected top_probability, one of {', '.join(_HOLDS)}, "
            "and a number from 0 to 1: 'top_probability<0.6'"
        )
    return Condition(found[1], bound)


async def passed_over(
    house: House, plan: Plan, condition: Condition, rows: Rows, deadline: Deadline
) -> dict[str, Found]:
    """Answers to the questions about rows that do not meet the condition, by flight.

    What the model says of a row is the same whether or not an explanation of it is known, so the
    cache has no say in who is explained.

    Args:
        house: shared by all requests.
        plan: of this request.
        condition: that a row has to meet.
        rows: what the model says of them; those that are not known yet are run.
        deadline: of the request.

    Raises:
        InvalidInput: the scores of a row are not finite.
    """
    own = await rows.predict(range(plan.n_rows), deadline)
    scores = {row: says[1] for row, says in own.items()}
    if plan.output is not None:  # the model's own scores are those of its default output
        run = partial(_scores, plan, range(plan.n_rows))
        name = plan.model.id.name
        scores = dict(await house.workers.run(run, name, deadline, plan.share))
    over: dict[str, Found] = {}
    for ask in plan.asks:
        row_scores = scores[ask.row]
        if row_scores is None:
            raise InternalError(f"row {ask.row}: the model has no probabilities")
        with named(ask, plan):
            refuse_overflow(row_scores.probability, "the model's scores are")
        top = float(row_scores.probability.max())
        if not _HOLDS[condition.sense](top, condition.bound):
            reason = f"top probability {top:.4g} is not {condition.sense} {condition.bound:g}"
            over[ask.flight] = _not_explained(plan, ask, own[ask.row], row_scores, reason)
    return over


def _scores(plan: Plan, rows: Iterable[int]) -> dict[int, Scores]:
    found: dict[int, Scores] = {}
    for group, _ in groups_of(plan.batch, rows):
        scores = plan.subject.predict(x_of(plan.batch, group))
        for at, row in enumerate(group):
            part = slice(at, at + 1)
            found[row] = Scores(scores.score[part], scores.probability[part])
    return found


def _not_explained(plan: Plan, ask: Ask, says: RowSays, scores: Scores, reason: str) -> Found:
    question = ask.question
    explained = question.explained or ("probability" if isinstance(ask.options, Lime) else "score")
    stands = outcome(aim(question.target, scores), scores, explained)
    trust = trust_record(ask.options, stands, n_evaluations=0)
    told = {**trust, "not_explained": reason, "warnings": []}
    geometry = mapped(plan.subject.geometry, ask.options)
    nothing = [
        np.full(shape, np.nan, dtype=np.float32)
        for shape in map_shapes(question.x.shape[1:], geometry)
    ]
    attribution = attributed(str(trust["method"]), geometry, nothing, lambda *_: told)
    return Found(Entry(attribution, *says), "bypass", not_explained=reason)
