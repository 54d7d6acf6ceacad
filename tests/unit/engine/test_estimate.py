import time

import pytest

from candor.engine.deadline import Deadline
from candor.engine.pace import Pace
from candor.errors import InvalidInput, Unsupported
from candor.explain.options import Cam, Gradient, IntegratedGradients, Lime, Occlusion
from unit.engine.builders import LinearModel, explain_request, rig, rows

NEVER = Deadline()


@pytest.mark.parametrize(
    ("methods", "n_rows", "calls", "size"),
    [
        ((Gradient(),), 3, 3, 3 * 24),
        ((Occlusion(),), 1, 6 + 1 + 1, 24),  # windows, the row itself, its prediction
        ((IntegratedGradients(n_steps=20),), 2, 2 * 22 + 2, 48),
        ((Lime(n_samples=300),), 1, 301, 48),  # values and segments
        ((Gradient(), Lime(n_samples=300)), 1, 301, 72),
    ],
)
async def test_calls_and_bytes_follow_from_the_request(methods, n_rows, calls, size):
    async with rig() as house:
        estimate = await house.engine.estimate(explain_request(*methods, x=rows(n_rows)))
        assert (estimate.model_calls, estimate.bytes) == (calls, size)


async def test_an_estimate_runs_no_explanation():
    async with rig() as house:
        await house.engine.estimate(explain_request(Occlusion(), Lime(), x=rows(3)))
        assert {name for name, _ in house.model.calls} <= {"predict"}
        house.model.calls.clear()
        await house.engine.estimate(explain_request(Occlusion(), Lime(), x=rows(3)))
        assert house.model.calls == []  # the speed is known by now


async def test_the_time_is_what_such_work_has_taken():
    async with rig(LinearModel(slice_s=0.01, slice_rows=1)) as house:
        request = explain_request(Occlusion(), cache="bypass")
        began = time.perf_counter()
        await house.engine.explain(request, NEVER)
        took_ms = 1000 * (time.perf_counter() - began)
        estimate = await house.engine.estimate(request)
        assert 70 < estimate.milliseconds < took_ms  # seven windows of 10 ms, and the prediction


async def test_a_cached_answer_costs_what_it_costs():
    async with rig() as house:
        request = explain_request(Occlusion())
        before = await house.engine.estimate(request)
        await house.engine.explain(request, NEVER)
        assert (await house.engine.estimate(request)).model_calls == before.model_calls


async def test_a_wrong_request_has_no_price():
    async with rig() as house:
        with pytest.raises(Unsupported):
            await house.engine.estimate(explain_request(Cam()))
        with pytest.raises(InvalidInput):
            await house.engine.estimate(explain_request(x=rows(0)))


def test_what_was_never_run_is_estimated_from_predictions():
    pace = Pace()
    assert pace.seconds("d", "lime") is None
    pace.note("d", "predict", 10, 0.1)
    assert pace.seconds("d", "lime") == pytest.approx(0.01)
    assert pace.seconds("d", "gradient") == pytest.approx(0.03)
    assert pace.seconds("other", "lime") is None


def test_the_first_run_counts_until_there_is_another_because_it_builds_the_program():
    pace = Pace()
    pace.note("d", "lime", 100, 9.0)
    assert pace.seconds("d", "lime") == pytest.approx(0.09)
    pace.note("d", "lime", 100, 1.0)
    assert pace.seconds("d", "lime") == pytest.approx(0.01)


def test_large_work_tells_more_than_small_and_new_more_than_old():
    pace = Pace()
    for evaluations, seconds in ((1, 1.0), (1000, 1.0), (2, 0.2)):
        pace.note("d", "lime", evaluations, seconds)
    assert pace.seconds("d", "lime") == pytest.approx(0.00125, rel=0.01)
    for _ in range(50):
        pace.note("d", "lime", 1000, 5.0)
    assert pace.seconds("d", "lime") == pytest.approx(0.005, rel=0.01)
