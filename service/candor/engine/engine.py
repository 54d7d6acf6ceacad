"""One request's way through the house, as the list of its steps."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TypeAlias

from candor.engine.assemble import Found, assemble
from candor.engine.batch import RowSays
from candor.engine.bulk import Wishes, answer_bulk
from candor.engine.condition import passed_over
from candor.engine.deadline import Deadline
from candor.engine.estimate import estimate_plan
from candor.engine.gather import within
from candor.engine.house import House, distinct, look_up
from candor.engine.interactive import answer_interactive
from candor.engine.microbatch import Microbatcher
from candor.engine.model import Model, ModelStore
from candor.engine.plan import Plan, is_bulk, make_plan
from candor.engine.predicting import brief_prediction, is_brief, joint_prediction, n_rows
from candor.engine.prospects import Prospects
from candor.engine.reports import Reporter
from candor.engine.request import (
    Estimate,
    ExplainRequest,
    Explanation,
    Prediction,
    PredictRequest,
    Report,
)
from candor.engine.rows import Rows, runs_tell
from candor.engine.share import NOBODY, Share
from candor.metrics import WorkClass

__all__ = ["Engine", "OnReport", "Report"]

OnReport: TypeAlias = Callable[[Report], None]


class Engine:
    """Answers predictions, explanations and estimates; all its methods run on the event loop."""

    def __init__(
        self,
        store: ModelStore,
        house: House,
        *,
        secret: bytes,
        budget_s: float | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            store: where the models are.
            house: cache, workers, metrics.
            secret: of the cache keys, 32 bytes (`digest.cache_secret`).
            budget_s: of long explanations whose request names none; None: no limit.
        """
        self.store = store
        self.house = house
        self._secret = secret
        self._budget_s = budget_s
        self._microbatcher = Microbatcher(house.workers, house.metrics)
        self._prospects = Prospects(house.workers.places)

    async def predict(
        self, request: PredictRequest, deadline: Deadline, share: Share = NOBODY
    ) -> Prediction:
        """Run the model, plainly: the answer is ONNX Runtime's, for the rows that were run.

        Args:
            request: what to predict.
            deadline: when nobody waits any more.
            share: whose it counts to.

        Raises:
            NotFound, InvalidInput, InvalidModel, Overloaded, DeadlineExceeded, Unavailable.
        """
        if (prediction := await self._predict_at_once(request, deadline)) is not None:
            return prediction
        async with within(deadline):
            model = await self._find(request)
            with self.house.workers.inside(model.id.name, "interactive"):
                if not model.awake:  # out of the slots, which others need meanwhile
                    await asyncio.to_thread(model.wake)
                joint = joint_prediction(self.house, model, request)
                predicted: Prediction = await self.house.workers.run_joint(
                    joint, model.id.name, deadline, share
                )
                return predicted

    async def explain(
        self,
        request: ExplainRequest,
        deadline: Deadline,
        on_report: OnReport | None = None,
        share: Share = NOBODY,
        *,
        patient: bool = False,
    ) -> Explanation:
        """Predict and explain every row, for every target, by every method.

        Args:
            request: what to explain.
            deadline: when nobody waits any more.
            on_report: called on the event loop, for every answer at least once.
            share: whose it counts to.
            patient: whether another server would do the rest when this one stops; else the best
                so far is the answer then, as where a budget is over.

        Raises:
            CandorError: any kind but Cancelled and InternalError, as its message says.
        """
        bulk = any(is_bulk(options, request.trust) for options in request.methods)
        work_class: WorkClass = "bulk" if bulk else "interactive"
        async with within(deadline):
            model = await self._find(request)
            name = model.id.name
            with (
                self.house.workers.inside(name, work_class),
                self._prospects.let_in(name, share) if bulk else nullcontext(),
            ):
                return await self._explain(
                    model, request, deadline, share, on_report, patient=patient
                )

    async def estimate(self, request: ExplainRequest, share: Share = NOBODY) -> Estimate:
        """Say what `explain` would cost, the cache not counted.

        Raises:
            CandorError: where the request is wrong, as `explain` would.
        """
        model = await self._find(request)
        plan, _ = await self._plan(model, request, Deadline(), share)
        return await estimate_plan(self.house, plan)

    async def _explain(
        self,
        model: Model,
        request: ExplainRequest,
        deadline: Deadline,
        share: Share,
        on_report: OnReport | None,
        *,
        patient: bool,
    ) -> Explanation:
        began = time.monotonic()
        plan, started = await self._plan(model, request, deadline, share)
        planned = time.monotonic()

        reporter = Reporter(plan, on_report)
        found = await look_up(self.house, plan)
        looked_up = time.monotonic()

        rows = Rows(self.house, plan)
        rows.learn(_said(plan, found))
        if request.condition is not None:
            found |= await passed_over(self.house, plan, request.condition, rows, deadline)
        reporter.found(found)

        missing = [ask for ask in distinct(plan.asks) if ask.flight not in found]
        short = [ask for ask in missing if not ask.is_bulk]
        long = [ask for ask in missing if ask.is_bulk]

        silent = () if runs_tell(plan) else (ask.row for ask in short)
        known = await rows.predict(silent, deadline)
        answered = await answer_interactive(self.house, plan, short, known)
        reporter.found(answered)
        found |= answered

        rows.learn(_said(plan, found))
        budget_s = self._budget_s if request.budget_s is None else request.budget_s
        wishes = Wishes(
            math.inf if budget_s is None else began + budget_s,
            reporter.listener,
            reporter.answered,
            math.inf if deadline.at_s is None else deadline.at_s,
            patient=patient,
        )
        found |= await answer_bulk(self.house, plan, long, rows, wishes)

        for ask in plan.asks:
            if not found[ask.flight].not_explained:
                self.house.metrics.cache("explanation", found[ask.flight].status)
        ended = time.monotonic()
        timings_s = {
            "queue": started - began,
            "prepare": planned - started,
            "look_up": looked_up - planned,
            "compute": ended - looked_up,
            "total": ended - began,
        }
        says = _said(plan, found)
        ready_s = {method: at_s - began for method, at_s in reporter.ready_at_s.items()}
        made = assemble(plan, found, [says[row] for row in range(plan.n_rows)], timings_s)
        return replace(made, ready_s=ready_s, began_s=began)

    async def _predict_at_once(
        self, request: PredictRequest, deadline: Deadline
    ) -> Prediction | None:
        """Answer what is brief, where nobody has to wait for it."""
        if self.store.loads(request.model, request.version) or deadline.expired:
            return None
        model = self.store.get(request.model, request.version)
        if not is_brief(model, request):
            return None
        joint = brief_prediction(self.house, model, request)
        found: Prediction | None = await self._microbatcher.answer(joint, model.id.name)
        return found

    async def _find(self, request: PredictRequest | ExplainRequest) -> Model:
        if self.store.loads(request.model, request.version):
            return await asyncio.to_thread(self.store.get, request.model, request.version)
        return self.store.get(request.model, request.version)

    async def _plan(
        self, model: Model, request: ExplainRequest, deadline: Deadline, share: Share
    ) -> tuple[Plan, float]:
        """The plan, and when a slot was free to make it."""
        rows = n_rows(request.payload)

        def plan() -> tuple[Plan, float]:
            started = time.monotonic()
            with model.brevity.timed("plan", rows):
                made = make_plan(model, request, self._secret)
            return replace(made, share=share), started

        workers, name = self.house.workers, model.id.name
        if model.awake and model.brevity.expects("plan", request.payload, rows):
            with workers.spare_slot() as free:
                if free:
                    self.house.metrics.queued(name, "interactive", 0.0)
                    return plan()
        return await workers.run(plan, name, deadline, share)


def _said(plan: Plan, found: dict[str, Found]) -> dict[int, RowSays]:
    """What answers say of their rows; every row has some in the end."""
    return {
        ask.row: (found[ask.flight].entry.outputs, found[ask.flight].entry.scores)
        for ask in plan.asks
        if ask.flight in found
    }
