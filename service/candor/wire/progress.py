"""An explanation under way as a stream of its reports and, last, itself."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from candor.engine.request import Explanation, Report

__all__ = ["Report", "with_reports"]


async def with_reports(
    explain: Callable[[Callable[[Report], None]], Awaitable[Explanation]],
) -> AsyncGenerator[Report | Explanation, None]:
    """Run an explanation, yielding reports as they come and the explanation last.

    A slow reader gets the newest report of each method, row and target; older ones are dropped, so
    that memory stays bounded. Leaving early cancels the explanation.
    """
    loop = asyncio.get_running_loop()
    latest: dict[tuple[str, int, int], Report] = {}
    news = asyncio.Event()

    def keep(report: Report) -> None:
        latest[report.method, report.row, report.target] = report
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
            reports = list(latest.values())
            latest.clear()
            for report in reports:
                yield report
        yield await task
    finally:
        task.cancel()
        await asyncio.wait((task,))
