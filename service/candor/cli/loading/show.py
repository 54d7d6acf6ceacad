"""How a load test goes, while it goes: a line on standard error that is renewed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isnan

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from candor.cli.loading.samples import Samples
from candor.cli.loading.summary import Summary, of_all

__all__ = ["watched"]

_EVERY_S = 0.5


@asynccontextmanager
async def watched(name: str, seconds: float, samples: Samples) -> AsyncIterator[None]:
    """Show the latest rate, latencies and failures while the block runs; pipes get nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[now]}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as bars:  # fmt: skip
        task = bars.add_task(name, total=seconds, now="")

        async def renew() -> None:
            seen = 0
            while True:
                await asyncio.sleep(_EVERY_S)
                latest = of_all(samples.columns(since=seen))
                seen += latest.n_due
                bars.update(task, advance=_EVERY_S, now=_now(latest))

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()


def _now(latest: Summary) -> str:
    p50, p99 = latest.percentiles_ms[50.0], latest.percentiles_ms[99.0]
    times = "" if isnan(p50) else f", p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    failed = latest.n_due - latest.n_ok
    return f"{latest.n_ok / _EVERY_S:.0f}/s{times}" + (f", {failed} failed" if failed else "")
