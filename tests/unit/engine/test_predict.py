import asyncio
import threading

import numpy as np
import pytest

from candor.engine.deadline import Deadline
from candor.engine.workers import Limits
from candor.errors import DeadlineExceeded, InvalidInput, NotFound, Overloaded
from unit.engine.builders import LinearModel, gauges, predict_request, rig, rows, until

NEVER = Deadline()


async def test_a_prediction_is_what_the_model_says():
    async with rig() as house:
        x = rows(3)
        prediction = await house.engine.predict(predict_request(x), NEVER)
        expected = house.model._quiet(x).probability
        np.testing.assert_array_equal(prediction.outputs["probabilities"], expected)
        np.testing.assert_array_equal(prediction.scores.probability, expected)
        assert prediction.model == house.model.id
        assert prediction.labels == house.model.labels
        assert house.model.calls == [("run", 3)]
        assert house.value("candor_batch_size_sum", model="linear") == 3


async def test_a_plain_prediction_takes_what_the_model_takes_nan_and_no_rows_too():
    async with rig() as house:
        x = np.full((1, 6), np.nan, np.float32)
        prediction = await house.engine.predict(predict_request(x), NEVER)
        assert np.isnan(prediction.outputs["probabilities"]).all()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "other"}, NotFound),
        ({"version": "9"}, NotFound),
        ({"x": rows().astype(np.float64)}, InvalidInput),
    ],
)
async def test_what_is_wrong_says_so_and_leaves_nothing_behind(changes, error):
    async with rig() as house:
        x = changes.pop("x", None)
        with pytest.raises(error):
            await house.engine.predict(predict_request(x, **changes), NEVER)
        assert gauges(house.metrics) == {}


async def test_an_explicit_version_is_found():
    async with rig() as house:
        prediction = await house.engine.predict(predict_request(version="1"), NEVER)
        assert prediction.model.version == "1"


async def test_a_deadline_ends_the_wait_while_the_model_still_runs():
    hold = threading.Event()
    async with rig(LinearModel(hold=hold)) as house:
        with pytest.raises(DeadlineExceeded):
            await house.engine.predict(predict_request(), Deadline.after(0.05))
        hold.set()


async def test_overload_is_refused_at_once_and_what_was_accepted_is_answered():
    hold = threading.Event()
    limits = Limits(slots=1, predict_queue=3)
    async with rig(LinearModel(hold=hold), limits=limits) as house:
        first = asyncio.create_task(house.engine.predict(predict_request(), NEVER))
        await until(lambda: house.model.calls)  # it runs; of the others three may wait
        asking = [
            asyncio.create_task(house.engine.predict(predict_request(), NEVER)) for _ in range(9)
        ]
        await until(lambda: sum(task.done() for task in asking) == 6)
        refused = [task for task in asking if task.done()]
        assert {type(task.exception()) for task in refused} == {Overloaded}
        hold.set()
        answered = [await first, *[await task for task in asking if task not in refused]]
        assert all(len(answer.outputs["probabilities"]) == 1 for answer in answered)


async def test_a_model_that_fails_fails_its_request_and_leaves_nothing_behind():
    async with rig(LinearModel(fail=InvalidInput("the graph refuses"))) as house:
        with pytest.raises(InvalidInput, match="the graph refuses"):
            await house.engine.predict(predict_request(), NEVER)
