"""An explanation under way as a stream of its reports and, last, itself."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from candor.engine.request import Explanation, Report

__all__ = ["Report", "with_reports"]

_Place: TypeAlias = tuple[str, int, int]

_STEP: Final = 0.01
_EVERY_S: Final = 0.05
"""A new report of a place tells of a percent more, and comes this long after the last."""


async def with_reports(
    explain: Callable[[Callable[[Report], None]], Awaitable[Explanation]],
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Report | Explanation, None]:
    """Run an explanation, yielding reports as they come and the explanation last.

    Of each method, row and target the first report and the finished one are yielded, and between
    them at most one a percent and twenty a second. A slow reader gets the newest; older ones are
    dropped, so that memory stays bounded. Leaving early cancels the explanation.

    Args:
        explain: runs it, given what is to be called with each report, from any thread.
        clock: seconds, rising.
    """
    loop = asyncio.get_running_loop()
    pending = _Pending(clock)
    news = asyncio.Event()

    def keep(report: Report) -> None:
        pending.keep(report)
        news.set()

    def forward(report: Report) -> None:
        # It may come from a worker's thread.
        loop.call_soon_threadsafe(keep, report)

    async def run() -> Explanation:
        try:
            return await explain(forward)
        finally:
            news.set()

    task = asyncio.create_task(run())
    try:
        while not task.done():
            await news.wait()
            news.clear()
            for report in pending.due():
                yield report
        await asyncio.sleep(0)  # what was forwarded last is kept now
        for report in pending.due():
            yield report
        yield await task
    finally:
        task.cancel()
        await asyncio.wait((task,))


class _Pending:
    """The newest report of each place, and what was told of it last."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._newest: dict[_Place, Report] = {}
        self._told: dict[_Place, tuple[float, float]] = {}

    def keep(self, report: Report) -> None:
        """Take a report in the stead of the one before it."""
        place = (report.method, report.row, report.target)
        held = self._newest.get(place)
        if held is not None and held.progress >= 1 > report.progress:
            return  # the same method with other options; its own end will be told too
        if held is not None and report.partial is None:
            report = replace(report, partial=held.partial)  # the last map known is not lost
        self._newest[place] = report

    def due(self) -> Iterator[Report]:
        """Give out each report that says enough more than the last of its place, and not too soon.

        A report may be kept while another is out.
        """
        for place in list(self._newest):
            report, now_s = self._newest[place], self._clock()
            fraction, at_s = self._told.get(place, (-math.inf, -math.inf))
            more = report.progress - fraction >= _STEP and now_s - at_s >= _EVERY_S
            if more or report.progress >= 1:
                self._told[place] = (report.progress, now_s)
                yield self._newest.pop(place)
