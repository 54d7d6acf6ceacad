"""Whatever happens to requests, nothing of them is left behind."""

import asyncio
import random

import pytest

from candor.engine.deadline import Deadline
from candor.engine.request import TargetSpec
from candor.engine.workers import Limits
from candor.errors import CandorError
from candor.explain.options import Gradient, IntegratedGradients, Lime, Occlusion
from unit.engine.builders import (
    LinearModel,
    explain_request,
    idle,
    predict_request,
    rig,
    rows,
    settled,
)

METHODS = (Gradient(), Occlusion(), Lime(100), Lime(30, seed=-1), IntegratedGradients(30))


async def one(house, chance):
    """A request that may be cancelled, late, short of budget, wrong, refused, or answered."""
    x = rows(chance.randint(1, 3), seed=chance.randint(0, 4))
    deadline = Deadline.after(chance.choice([None, None, 0.02, 0.2]))
    if chance.random() < 0.3:
        return await house.engine.predict(predict_request(x), deadline)
    request = explain_request(
        *chance.sample(METHODS, chance.randint(1, 3)),
        x=x,
        cache=chance.choice(["use", "use", "use", "refresh", "bypass"]),
        budget_s=chance.choice([None, None, 0.0, 0.05]),
        targets=chance.choice([(), ((TargetSpec(0), TargetSpec(1)),), ((TargetSpec(None, 1),),)]),
    )
    listener = chance.choice([None, lambda report: None])
    return await house.engine.explain(request, deadline, listener)


@pytest.mark.parametrize("seed", range(3))
async def test_the_books_balance_whatever_happens(seed):
    chance = random.Random(seed)
    model = LinearModel(slice_s=0.001, slice_rows=8)
    limits = Limits(slots=2, predict_queue=20, explain_queue=6)
    async with rig(model, limits=limits) as house:
        outcomes = []

        async def caller():
            task = asyncio.create_task(one(house, chance))
            if chance.random() < 0.3:
                asyncio.get_running_loop().call_later(chance.random() * 0.1, task.cancel)
            await asyncio.wait({task})
            outcomes.append(
                "cancelled"
                if task.cancelled()
                else type(task.exception()).__name__
                if task.exception()
                else "answered"
            )
            assert task.cancelled() or isinstance(task.exception(), CandorError | None)

        async with asyncio.TaskGroup() as group:
            for _ in range(120):
                group.create_task(caller())
                await asyncio.sleep(chance.random() * 0.01)
        await settled(house)
        assert {"answered", "cancelled", "DeadlineExceeded", "InvalidTarget"} <= set(outcomes)
        assert (len(house.workers.places), house.workers._inside) == (0, 0)
        await idle(house)
        # and the house still works
        model.slice_s = 0
        explanation = await house.engine.explain(
            explain_request(*METHODS, cache="bypass"), Deadline()
        )
        assert all(method[0][0].complete for method in explanation.answers)
