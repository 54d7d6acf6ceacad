"""What the model says of a request's rows: from the runs that explain them, else from its own."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from candor.engine.batch import RowSays, rows_of
from candor.engine.cut import groups_of
from candor.engine.deadline import Deadline
from candor.engine.house import House
from candor.engine.model import Model
from candor.engine.plan import Plan
from candor.result import Array, Scores

__all__ = ["Rows", "runs_tell", "scores_of"]


class Rows:
    """The rows of one request, each predicted at most once however many methods want it."""

    def __init__(self, house: House, plan: Plan) -> None:
        self._house = house
        self._plan = plan
        self._known: dict[int, RowSays] = {}
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def learn(self, known: Mapping[int, RowSays]) -> None:
        """Take over what explanations brought."""
        self._known |= known

    async def predict(self, rows: Iterable[int], deadline: Deadline) -> dict[int, RowSays]:
        """Predict some rows, where they are not known; those of the same length in one run."""
        wanted = sorted(set(rows))
        if unknown := [row for row in wanted if row not in self._known]:
            run = partial(_predict, self._house, self._plan, unknown)
            name = self._plan.model.id.name
            self._known |= await self._house.workers.run(run, name, deadline, self._plan.share)
        return {row: self._known[row] for row in wanted}

    async def says(self, row: int) -> RowSays:
        """What the model says of a row; waits for a run if that is not known yet."""
        async with self._locks[row]:
            if row not in self._known:
                await self.predict([row], Deadline())
            return self._known[row]


def runs_tell(plan: Plan) -> bool:
    """Whether the scores of an explaining run are enough to rebuild the model's own outputs."""
    if plan.output is not None:  # they may be another output's scores than the model's default
        return False
    nothing = np.zeros((1, plan.subject.n_classes), dtype=np.float32)
    return plan.model.outputs_from(Scores(nothing, nothing)) is not None


def scores_of(
    model: Model, tensors: Mapping[str, Array], outputs: Mapping[str, Array]
) -> Scores | None:
    """Scores from the outputs; a second run where these hide them behind a softmax."""
    found = model.scores_of(outputs)
    if found is None and model.n_classes:
        subject, x = model.laid(tensors)
        found = subject.predict(x)
    return found


def _predict(house: House, plan: Plan, rows: Sequence[int]) -> dict[int, RowSays]:
    known: dict[int, RowSays] = {}
    for group, tensors in groups_of(plan.batch, rows):
        outputs = plan.model.run(tensors)
        house.metrics.batch(plan.model.id.name, len(group))
        says = rows_of(outputs, scores_of(plan.model, tensors, outputs), len(group))
        known |= dict(zip(group, says, strict=True))
    return known
