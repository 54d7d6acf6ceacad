"""What an explanation would cost, from what such explanations have cost so far."""

import math
import time
from functools import partial

from candor.engine.deadline import Deadline
from candor.engine.house import House
from candor.engine.plan import Ask, Plan
from candor.engine.request import Estimate
from candor.explain.explainers import evaluations
from candor.explain.options import Lime
from candor.explain.parse import method_name
from candor.explain.parts import map_shapes, mapped

__all__ = ["estimate_plan"]


async def estimate_plan(house: House, plan: Plan) -> Estimate:
    """Cost of answering every ask of a plan from scratch.

    Runs the model once where nothing is known of its speed yet.
    """
    name, digest = plan.model.id.name, plan.model.id.digest
    calls = await house.workers.run(partial(_calls, plan), name, Deadline(), plan.share)
    methods = {method_name(ask.options) for ask in plan.asks}
    if any(house.pace.seconds(digest, method) is None for method in methods):
        measure = partial(_measure, house, plan)
        await house.workers.run(measure, name, Deadline(), plan.share)
    seconds = sum(
        count * (house.pace.seconds(digest, method) or 0.0) for method, count in calls.items()
    )
    return Estimate(
        model_calls=sum(calls.values()),
        milliseconds=1000 * seconds,
        bytes=sum(_bytes(plan, ask) for ask in plan.asks),
    )


def _calls(plan: Plan) -> dict[str, int]:
    """Rows through the model by method; a prediction of its own only where no method brings it."""
    calls: dict[str, int] = {}
    for ask in plan.asks:
        count = evaluations(plan.subject, ask.question, ask.options)
        method = method_name(ask.options)
        calls[method] = calls.get(method, 0) + count
    if all(ask.is_bulk for ask in plan.asks):
        calls["predict"] = plan.n_rows
    return calls


def _measure(house: House, plan: Plan) -> None:
    x = plan.asks[0].question.x
    plan.subject.predict(x)  # the first run builds and warms the program
    began = time.perf_counter()
    plan.subject.predict(x)
    house.pace.note(plan.model.id.digest, "predict", 1, time.perf_counter() - began)


def _bytes(plan: Plan, ask: Ask) -> int:
    """Size of one answer's arrays: float32 values, and for lime its int32 segments."""
    shape = ask.question.x.shape[1:]
    geometry = mapped(plan.subject.geometry, ask.options)
    shapes = map_shapes(shape, geometry)
    if getattr(ask.options, "channels", "sum") == "keep":
        shapes = [part.value_shape for part in geometry.parts] or [shape]
    values = sum(map(math.prod, shapes))
    return 4 * values * (2 if isinstance(ask.options, Lime) else 1)
