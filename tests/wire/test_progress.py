"""Reports of an explanation as a stream that neither grows nor outlives its reader."""

import asyncio
import itertools
from contextlib import aclosing

import numpy as np
import pytest

from candor.engine.request import Explanation, Prediction, Report
from candor.errors import Overloaded
from candor.result import Attribution, ModelId
from candor.wire.progress import with_reports

RESULT = Explanation(Prediction(ModelId("m", "1", "d"), {}, None, (), ()), ())


async def test_reports_come_in_order_and_the_explanation_last():
    async def explain(report):
        for step in range(3):
            report(Report("lime", 0, 0, step / 3))
            await asyncio.sleep(0.01)
        return RESULT

    clock = itertools.count().__next__  # a second passes whenever one looks
    events = [event async for event in with_reports(explain, clock)]
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


class Clock:
    """Stands still until it is told."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def told(steps, clock):
    """An explanation that reports (seconds passed, fraction), each read before the next."""

    async def explain(report):
        for seconds, fraction, *partial in steps:
            clock.now_s += seconds
            report(Report("lime", 0, 0, fraction, *partial))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return RESULT

    return explain


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # three thousand slices of a tenth of a millisecond: one report in fifty milliseconds
        ([(0.0001, i / 3000) for i in range(3000)] + [(0, 1.0)], 7),
        # slow slices: one a percent
        ([(1.0, i / 1000) for i in range(1000)] + [(0, 1.0)], 101),
        # the first and the last come whatever the time and the step
        ([(0, 0.999), (0, 1.0)], 2),
    ],
)
async def test_reports_come_a_percent_and_fifty_milliseconds_apart(steps, expected):
    clock = Clock()
    events = [event async for event in with_reports(told(steps, clock), clock)]
    fractions = [event.progress for event in events[:-1]]
    assert abs(len(fractions) - expected) <= 1
    assert (fractions[0], fractions[-1]) == (steps[0][1], 1.0)
    gaps = [after - before for before, after in itertools.pairwise(fractions[:-1])]
    assert all(gap >= 0.01 for gap in gaps)


async def test_a_map_that_is_held_back_comes_with_the_next_report():
    half = Attribution("lime", np.ones(3, np.float32), {})
    clock = Clock()
    steps = [(0, 0.1), (0.001, 0.2, half), (0.001, 0.3), (0.1, 0.4), (1, 0.5)]
    events = [event async for event in with_reports(told(steps, clock), clock)]
    seen = [(event.progress, event.partial) for event in events[:-1]]
    assert seen == [(0.1, None), (0.4, half), (0.5, None)]


async def test_the_end_of_every_place_is_told_even_if_all_ends_at_once():
    async def explain(report):
        report(Report("lime", 0, 0, 0.5))
        await asyncio.sleep(0)
        for row in range(3):
            report(Report("lime", row, 0, 1.0))
        return RESULT

    events = []
    async for event in with_reports(explain):
        events.append(event)
        await asyncio.sleep(0.01)  # a reader that is slower than the explanation
    assert [event.row for event in events[:-1] if event.progress == 1] == [0, 1, 2]
    assert events[-1] is RESULT


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
