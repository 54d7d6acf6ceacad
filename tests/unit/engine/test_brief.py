"""Brief work is done by its caller, on the event loop, where nobody has to wait for it."""

import asyncio
import threading

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from candor.engine.deadline import Deadline
from candor.engine.joint import Joint
from candor.engine.request import PredictRequest
from candor.engine.workers import Limits, Workers
from candor.errors import DeadlineExceeded, Unavailable
from candor.metrics import Metrics
from candor.result import Tensors
from candor.runtime.brevity import Brevity as Measured
from unit.engine.builders import Brevity, LinearModel, explain_request, gauges, rig, rows

NEVER = Deadline()


class Floor:
    def __init__(self, slots=1):
        self.metrics = Metrics(CollectorRegistry())
        self.workers = Workers(Limits(slots=slots), self.metrics)
        self.gate = threading.Event()
        self.started = threading.Event()

    def run(self, brief, deadline=NEVER):
        return self.workers.run(threading.current_thread, "m", deadline, brief=brief)

    def held(self):
        def hold():
            self.started.set()
            assert self.gate.wait(30)

        return asyncio.ensure_future(self.workers.run(hold, "m", NEVER))


@pytest.fixture
async def floor():
    made = Floor()
    yield made
    made.gate.set()
    await made.workers.close()


async def test_brief_work_is_done_by_the_caller_and_other_work_in_a_thread(floor):
    assert await floor.run(brief=True) is threading.current_thread()
    assert await floor.run(brief=False) is not threading.current_thread()
    assert not gauges(floor.metrics)


async def test_brief_work_waits_its_turn_where_the_slots_are_taken_or_others_wait(floor):
    held = floor.held()
    await asyncio.to_thread(floor.started.wait, 30)
    first = asyncio.ensure_future(floor.run(brief=False))
    second = asyncio.ensure_future(floor.run(brief=True))
    await asyncio.sleep(0)
    floor.gate.set()
    await held
    here = threading.current_thread()
    assert await first is not here
    assert await second is not here


async def test_what_brief_work_raises_is_its_callers(floor):
    def fail():
        raise KeyError("odd")

    with pytest.raises(KeyError, match="odd"):
        await floor.workers.run(fail, "m", NEVER, brief=True)
    assert await floor.run(brief=True) is threading.current_thread()


async def test_late_brief_work_is_not_done(floor):
    with pytest.raises(DeadlineExceeded):
        await floor.run(brief=True, deadline=Deadline.after(-1.0))


async def test_closed_workers_take_no_brief_work():
    floor = Floor()
    await floor.workers.close()
    with pytest.raises(Unavailable):
        await floor.run(brief=True)


async def test_a_joint_run_may_be_brief(floor):
    joint = Joint("k", 3, 1, 4, 0.0, lambda items: [(i, threading.current_thread()) for i in items],
                  brief=True)  # fmt: skip
    assert await floor.workers.run_joint(joint, "m", NEVER) == (3, threading.current_thread())


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


def test_time_asleep_is_not_counted():
    measured, small = Measured(on_cpu=True), Tensors({"x": np.zeros((1, 8), np.float32)})
    with measured.timed("predict", 1):
        threading.Event().wait(0.05)
    assert measured.expects("predict", small, 1)
