"""Reports of an explanation as a stream that neither grows nor outlives its reader."""

import asyncio
from contextlib import aclosing

import pytest

from candor.engine.request import Explanation, Prediction, Report
from candor.errors import Overloaded
from candor.result import ModelId
from candor.wire.progress import with_reports

RESULT = Explanation(Prediction(ModelId("m", "1", "d"), {}, None, (), ()), ())


async def test_reports_come_in_order_and_the_explanation_last():
    async def explain(report):
        for step in range(3):
            report(Report("lime", 0, 0, step / 3))
            await asyncio.sleep(0.01)
        return RESULT

    events = [event async for event in with_reports(explain)]
    assert [event.progress for event in events[:-1]] == [0, 1 / 3, 2 / 3]
    assert events[-1] is RESULT


async def test_a_slow_reader_gets_the_newest_of_each_place_only():
    async def explain(report):
        for step in range(1000):
            report(Report("lime", 0, 0, step / 1000))
            report(Report("lime", 1, 0, step / 1000))
        await asyncio.sleep(0)
        return RESULT

    reports = [event async for event in with_reports(explain) if event is not RESULT]
    assert [(report.row, report.progress) for report in reports] == [(0, 0.999), (1, 0.999)]


async def test_reports_may_come_from_another_thread():
    async def explain(report):
        await asyncio.to_thread(report, Report("lime", 0, 0, 0.5))
        await asyncio.sleep(0.01)
        return RESULT

    events = [event async for event in with_reports(explain)]
    assert len(events) == 2


async def test_an_error_comes_through_after_the_reports():
    async def explain(report):
        report(Report("lime", 0, 0, 0.5))
        await asyncio.sleep(0.01)
        raise Overloaded("full", 1.0)

    events = with_reports(explain)
    assert (await anext(events)).progress == 0.5
    with pytest.raises(Overloaded):
        await anext(events)


async def test_leaving_cancels_the_explanation_before_going_on():
    ended = False

    async def explain(report):
        nonlocal ended
        report(Report("lime", 0, 0, 0.5))
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    async with aclosing(with_reports(explain)) as events:
        async for _ in events:
            break
    assert ended
