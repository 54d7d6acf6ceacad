"""Brief work is done by its caller, on the event loop, where nobody has to wait for it."""

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from candor.engine.deadline import Deadline
from candor.engine.request import PredictRequest
from candor.engine.workers import Limits, Workers
from candor.errors import DeadlineExceeded
from candor.metrics import Metrics
from candor.result import Tensors
from candor.runtime.brevity import Brevity as Measured
from candor.spans import Trace, enter
from unit.engine.builders import Brevity, LinearModel, explain_request, gauges, rig, rows

NEVER = Deadline()


class Floor:
    def __init__(self, slots=1):
        self.metrics = Metrics(CollectorRegistry())
        self.workers = Workers(Limits(slots=slots), self.metrics)
        self.gate = threading.Event()
        self.started = threading.Event()

    def held(self):
        def hold():
            self.started.set()
            assert self.gate.wait(30)

        return asyncio.ensure_future(self.workers.run(hold, "m", NEVER))

    def spares(self):
        with self.workers.spare_slot() as free:
            return free


@pytest.fixture
async def floor():
    made = Floor()
    yield made
    made.gate.set()
    await made.workers.close()


async def test_a_slot_is_spare_where_it_is_free_and_nobody_waits(floor):
    assert floor.spares()
    held = floor.held()
    await asyncio.to_thread(floor.started.wait, 30)
    assert not floor.spares()
    waits = asyncio.ensure_future(floor.workers.run(threading.current_thread, "m", NEVER))
    floor.gate.set()
    await held
    async with asyncio.timeout(30):
        assert await waits is not threading.current_thread()
    assert floor.spares()
    assert not gauges(floor.metrics)


async def test_a_spare_slot_is_one_of_those_that_there_are():
    floor = Floor(slots=2)
    with floor.workers.spare_slot() as first, floor.workers.spare_slot() as second:
        assert (first, second) == (True, True)
        assert not floor.spares()
    assert floor.spares()
    await floor.workers.close()


async def test_what_came_while_a_slot_was_spare_runs_when_it_is_left(floor):
    with floor.workers.spare_slot() as free:
        assert free
        later = asyncio.ensure_future(floor.workers.run(threading.current_thread, "m", NEVER))
        await asyncio.sleep(0.05)
        assert not later.done()
    async with asyncio.timeout(30):
        assert await later is not threading.current_thread()


async def test_what_fails_in_a_spare_slot_leaves_it(floor):
    with pytest.raises(KeyError, match="odd"), floor.workers.spare_slot():
        raise KeyError("odd")
    assert floor.spares()


async def test_closed_workers_and_traced_requests_have_no_spare_slot(floor):
    enter(Trace(None))
    assert not floor.spares()
    enter(None)
    assert floor.spares()
    await floor.workers.close()
    assert not floor.spares()


async def test_late_brief_work_is_not_done():
    model = LinearModel(brevity=Brevity(brief=True))
    async with rig(model) as built:
        request = PredictRequest("linear", Tensors({"x": rows(1)}))
        with pytest.raises(DeadlineExceeded):
            await built.engine.predict(request, Deadline.after(-1.0))
    assert model.calls == []


@pytest.mark.parametrize("brief", [False, True])
async def test_brief_work_is_done_by_its_caller_and_other_work_in_a_thread(brief):
    model = _Watched(brevity=Brevity(brief))
    async with rig(model) as built:
        await built.engine.predict(PredictRequest("linear", Tensors({"x": rows(1)})), NEVER)
    assert (model.threads == [threading.current_thread()]) is brief


class _Watched(LinearModel):
    def run(self, tensors, outputs=()):
        self.threads = [threading.current_thread()]
        return super().run(tensors, outputs)


async def test_a_brief_model_answers_as_any_other():
    answers = []
    for brief in (False, True):
        async with rig(LinearModel(brevity=Brevity(brief))) as built:
            x = rows(3)
            request = PredictRequest("linear", Tensors({"x": x}))
            prediction = await built.engine.predict(request, NEVER)
            explained = await built.engine.explain(explain_request(x=x), NEVER)
            answers.append(
                (prediction.outputs["probabilities"], explained.answers[0][0][0].attribution.values)
            )
    for plain, brief in zip(*answers, strict=True):
        np.testing.assert_array_equal(plain, brief)


def test_what_was_seen_to_be_brief_is_expected_to_be():
    measured, small = Measured(on_cpu=True), Tensors({"x": np.zeros((1, 8), np.float32)})
    assert not measured.expects("predict", small, 1)
    with measured.timed("predict", 1):
        pass
    assert measured.expects("predict", small, 1)
    assert not measured.expects("plan", small, 1)
    assert not measured.expects("predict", small, 10**6)
    assert not measured.expects("predict", Tensors({"x": np.zeros((1, 70_000), np.int8)}), 1)
    assert not Measured(on_cpu=False).expects("predict", small, 1)


def test_what_was_seen_to_take_long_is_not_brief():
    measured, small = Measured(on_cpu=True), Tensors({"x": np.zeros((1, 8), np.float32)})
    with measured.timed("predict", 1):
        np.linalg.svd(np.random.default_rng(0).normal(size=(300, 300)))
    assert not measured.expects("predict", small, 1)


def test_time_asleep_is_not_counted(monkeypatch):
    own_s = iter([7.0, 7.0001])  # the thread's time: what it slept is not in it
    clock = SimpleNamespace(thread_time=own_s.__next__)
    monkeypatch.setattr("candor.runtime.brevity.time", clock)
    measured, small = Measured(on_cpu=True), Tensors({"x": np.zeros((1, 8), np.float32)})
    with measured.timed("predict", 1):
        threading.Event().wait(0.05)
    assert measured.expects("predict", small, 1)
