"""Requests that share a run: what each is answered, and who fails with whom."""

import asyncio
import itertools
import threading
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from candor.engine import performing
from candor.engine.deadline import Deadline
from candor.engine.share import Share
from candor.engine.workers import Limits
from candor.errors import DeadlineExceeded, InvalidInput, Overloaded, TooLarge
from candor.explain.options import Gradient
from unit.engine.builders import (
    Joining,
    LinearModel,
    explain_request,
    long_lime,
    predict_request,
    rig,
    rows,
    until,
)

NEVER = Deadline()
SOMEBODY = Share("a", "1")
SLOW = partial(LinearModel, slice_s=0.02, slice_rows=1)
"""A LIME of it runs 64 slices: all that can be perturbed of six features."""
ALONE = predict_request(rows(1, 77), outputs=("probabilities",))  # of another key


class Picky(LinearModel):
    """Cannot take a row that begins with 13, nor more than `most` rows at once."""

    most = 100

    def run(self, tensors, outputs=()):
        found = super().run(tensors, outputs)
        if (tensors["x"][:, 0] == 13).any():
            raise InvalidInput("a 13")
        if len(tensors["x"]) > self.most:
            raise TooLarge("no memory for so many rows")
        return found

    def encode(self, payload):
        if (payload.by_name["x"] == -1).all():
            raise InvalidInput("row 0: cannot be prepared")
        return super().encode(payload)


@asynccontextmanager
async def held(model=None, **limits):
    """A house of one slot that is busy; what is asked meanwhile waits until `release` is set."""
    model = model or LinearModel()
    async with rig(model, limits=Limits(**{"slots": 1, **limits})) as house:
        house.release = model.hold = threading.Event()
        first = asyncio.create_task(house.engine.predict(ALONE, NEVER))
        await until(lambda: model.calls)
        try:
            yield house
        finally:
            house.release.set()
            await first


async def ask(house, *requests, share=SOMEBODY, deadline=NEVER):
    """Tasks of requests that wait, once all of them do."""
    tasks = []
    for request in requests:
        waiting = house.workers._queues.n_interactive
        asking = house.engine.predict(request, deadline, share)
        tasks.append(asyncio.create_task(asking))
        await until(lambda: house.workers._queues.n_interactive > waiting)  # noqa: B023
    return tasks


async def answers(house, tasks):
    house.release.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_those_who_wait_share_a_run_and_each_gets_its_own_rows():
    async with held() as house:
        inputs = [rows(n, seed=n) for n in (1, 2, 3)]
        tasks = await ask(house, *(predict_request(x) for x in inputs))
        found = await answers(house, tasks)
        assert house.model.calls == [("run", 1), ("run", 6)]
        together = house.model._quiet(np.concatenate(inputs))
        start = 0
        for x, prediction in zip(inputs, found, strict=True):
            own = slice(start, start := start + len(x))
            # byte for byte what the model says of the batch that was run
            np.testing.assert_array_equal(
                prediction.outputs["probabilities"], together.probability[own]
            )
            np.testing.assert_array_equal(prediction.scores.probability, together.probability[own])
            assert prediction.n_rows == len(x)
        assert house.value("candor_batch_size_count", model="linear") == 2
        assert house.value("candor_batch_size_sum", model="linear") == 7
        labels = {"model": "linear", "class": "interactive"}
        assert house.value("candor_queue_seconds_count", **labels) == 4


async def test_no_request_is_split_and_no_run_is_longer_than_allowed():
    async with held(LinearModel(joining=Joining(most=4))) as house:
        tasks = await ask(house, *(predict_request(rows(3, seed)) for seed in range(3)),
                          predict_request(rows(9)))  # fmt: skip
        await answers(house, tasks)
        assert house.model.calls[1:] == [("run", 3), ("run", 3), ("run", 3), ("run", 9)]


async def test_who_asks_for_other_outputs_or_no_scores_runs_apart():
    async with held() as house:
        tasks = await ask(house, predict_request(), predict_request(scores=False),
                          predict_request(outputs=("probabilities",)))  # fmt: skip
        await answers(house, tasks)
        assert house.model.calls[1:] == [("run", 1)] * 3


@pytest.mark.parametrize("bad", [13.0, -1.0], ids=["refused by the run", "cannot be prepared"])
async def test_one_that_is_wrong_fails_alone(bad):
    async with held(Picky()) as house:
        wrong = np.full((1, 6), bad, np.float32)
        tasks = await ask(
            house,
            predict_request(rows(2, 1)),
            predict_request(wrong),
            predict_request(rows().astype(np.float64)),
            predict_request(rows(1, 2)),
        )
        one, refused, other_type, two = await answers(house, tasks)
        assert isinstance(refused, InvalidInput)
        assert "float32" in str(other_type)
        for found, x in ((one, rows(2, 1)), (two, rows(1, 2))):
            expected = house.model._quiet(x).probability
            np.testing.assert_allclose(found.outputs["probabilities"], expected, rtol=1e-6)


async def test_rows_that_are_too_many_together_run_apart():
    model = Picky()
    model.most = 2
    async with held(model) as house:
        found = await answers(
            house, await ask(house, *(predict_request(rows(2, seed)) for seed in range(3)))
        )
        assert [prediction.n_rows for prediction in found] == [2, 2, 2]
        assert house.model.calls[1:] == [("run", 6), ("run", 2), ("run", 2), ("run", 2)]


async def test_a_model_whose_rows_depend_on_each_other_gets_each_request_by_itself():
    async with held(LinearModel(joining=Joining(independent=False))) as house:
        tasks = await ask(house, *(predict_request(rows(1, seed)) for seed in range(3)))
        await answers(house, tasks)
        assert house.model.calls[1:] == [("run", 1)] * 3


async def test_outputs_that_do_not_count_the_rows_are_not_cut():
    class Mean(LinearModel):
        def run(self, tensors, outputs=()):
            return {name: array.mean(0) for name, array in super().run(tensors, outputs).items()}

    async with held(Mean()) as house:
        request = predict_request(rows(2, 1), scores=False)
        found = await answers(house, await ask(house, request, request))
        assert [one.outputs["probabilities"].shape for one in found] == [(3,), (3,)]
        assert house.model.calls[1:] == [("run", 4), ("run", 2), ("run", 2)]


async def test_one_who_went_away_and_one_who_is_late_are_not_run():
    async with held() as house:
        gone, stays = await ask(house, predict_request(rows(2)), predict_request(rows(1)))
        asking = house.engine.predict(predict_request(rows(4)), Deadline.after(0.05), SOMEBODY)
        late = asyncio.create_task(asking)
        gone.cancel()
        await asyncio.wait({gone, late})
        assert isinstance(late.exception(), DeadlineExceeded)
        house.release.set()
        await stays
        assert house.model.calls[1:] == [("run", 1)]


async def test_requests_without_rows_are_answered_beside_others():
    async with held() as house:
        tasks = await ask(house, *(predict_request(rows(n), scores=False) for n in (2, 0, 0, 1)))
        found = await answers(house, tasks)
        assert [prediction.n_rows for prediction in found] == [2, 0, 0, 1]


async def test_a_request_without_rows_is_answered_alone():
    async with rig() as house:
        found = await house.engine.predict(predict_request(rows(0)), NEVER)
        assert found.outputs["probabilities"].shape == (0, 3)


async def test_explanations_of_several_callers_share_a_run_and_are_what_they_are_alone():
    async with held() as house:
        asked = [explain_request(x=rows(n, seed=n), cache="bypass") for n in (1, 2)]
        tasks = [asyncio.create_task(house.engine.explain(each, NEVER)) for each in asked]
        tasks.append(asyncio.create_task(
            house.engine.explain(explain_request(Gradient("signed"), cache="bypass"), NEVER)
        ))  # fmt: skip
        await until(lambda: house.workers._queues.n_interactive == 3)
        together = await answers(house, tasks)
        gradients = [n for name, n in house.model.calls if name == "gradient"]
        assert sum(gradients) == 4
        for request, found in zip(asked, together, strict=False):
            alone = await house.engine.explain(request, NEVER)
            for one, other in zip(found.answers[0], alone.answers[0], strict=True):
                np.testing.assert_allclose(
                    one[0].attribution.values, other[0].attribution.values, rtol=1e-5, atol=1e-7
                )


async def test_a_flood_keeps_nobody_else_waiting(monkeypatch):
    ticks = itertools.count()  # all runs cost the same: turns are shared by time
    monkeypatch.setattr(performing, "time", SimpleNamespace(monotonic=lambda: 0.001 * next(ticks)))
    async with held(LinearModel(joining=Joining(most=1))) as house:
        order = []
        flood = await ask(house, *(predict_request(rows(1, n)) for n in range(30)),
                          share=Share("flood", "1"))  # fmt: skip
        polite = await ask(house, *(predict_request(rows(1, n)) for n in range(3)),
                           share=Share("polite", "1"))  # fmt: skip
        for name, tasks in (("flood", flood), ("polite", polite)):
            for task in tasks:
                task.add_done_callback(lambda _, name=name: order.append(name))
        await answers(house, [*flood, *polite])
        last = max(place for place, name in enumerate(order) if name == "polite")
        assert last < len(order) / 2


async def test_a_full_queue_makes_room_for_one_who_has_less_in_it():
    async with held(predict_queue=3) as house:
        flood = await ask(house, *(predict_request(rows(1, n)) for n in range(3)),
                          share=Share("flood", "1"))  # fmt: skip
        with pytest.raises(Overloaded, match="3 predictions are waiting already"):
            await house.engine.predict(predict_request(), NEVER, Share("flood", "1"))
        polite = asyncio.create_task(
            house.engine.predict(predict_request(), NEVER, Share("polite", "1"))
        )
        with pytest.raises(Overloaded, match="this caller has most of them") as caught:
            await flood[2]
        assert caught.value.retry_after_s > 0
        # one of three is no more than two would be fair
        other = asyncio.create_task(
            house.engine.predict(predict_request(), NEVER, Share("third", "1"))
        )
        with pytest.raises(Overloaded):
            await flood[1]
        found = await answers(house, [flood[0], polite, other])
        assert all(prediction.n_rows == 1 for prediction in found)
        shed = {"model": "linear", "class": "interactive"}
        assert house.value("candor_shed_total", reason="crowded_out", **shed) == 2
        assert house.value("candor_shed_total", reason="queue_full", **shed) == 1


async def test_no_long_explanation_waits_where_none_may():
    async with rig(SLOW(), limits=Limits(slots=1, explain_queue=0)) as house:
        long = explain_request(long_lime())
        first = asyncio.create_task(house.engine.explain(long, NEVER))
        await until(lambda: len(house.workers.places) == 1)
        with pytest.raises(Overloaded, match="1 long explanations are waiting already"):
            await house.engine.explain(explain_request(long_lime(), x=rows(1, 5)), NEVER)
        await house.engine.predict(predict_request(), NEVER)
        first.cancel()
        await asyncio.wait({first})
        short = explain_request(long_lime(n_samples=10), x=rows(1, 6))
        assert (await house.engine.explain(short, NEVER)).answers[0][0][0].complete


async def test_a_full_house_makes_room_for_one_who_has_less_that_waits():
    """Long explanations: six places, four take turns; the newest of those that wait has to go."""
    async with rig(SLOW(), limits=Limits(slots=1, explain_queue=5)) as house:
        long = [explain_request(long_lime(), x=rows(1, n)) for n in range(6)]
        flood = []
        for request in long:
            asking = house.engine.explain(request, NEVER, share=Share("flood", "1"))
            flood.append(asyncio.create_task(asking))
            await until(lambda: len(house.workers.places) == len(flood))
        labels = {"model": "linear", "class": "bulk"}
        await until(lambda: house.value("candor_queue_seconds_count", **labels) == 4)
        short = explain_request(long_lime(n_samples=10), x=rows(1, 9))
        found = await house.engine.explain(short, NEVER, share=Share("polite", "1"))
        assert found.answers[0][0][0].complete
        assert [task.done() for task in flood] == [False] * 5 + [True]
        with pytest.raises(Overloaded, match="another one has come") as caught:
            await flood[5]
        assert caught.value.retry_after_s > 0
        assert house.value("candor_shed_total", reason="crowded_out", **labels) == 1
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        assert len(house.workers.places) == 0


async def test_who_is_cancelled_while_crowded_out_is_cancelled():
    async with rig(SLOW(), limits=Limits(slots=1, explain_queue=5)) as house:

        async def ask_long(n):
            request = explain_request(long_lime(), x=rows(1, n))
            return await house.engine.explain(request, NEVER, share=Share("flood", "1"))

        flood = []
        for n in range(6):
            flood.append(asyncio.create_task(ask_long(n)))
            await until(lambda: len(house.workers.places) == len(flood))
        polite = house.workers.places.enter("linear", Share("polite", "1"))
        flood[5].cancel()  # before it could learn that its place is lost
        await asyncio.wait({flood[5]})
        assert flood[5].cancelled() or isinstance(flood[5].exception(), Overloaded)
        with polite:
            assert len(house.workers.places) == 6
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        assert len(house.workers.places) == 0
