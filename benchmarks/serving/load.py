"""What happens under load: beside LIME, under overload, without Redis, at the end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np

from benchmarks.serving.processes import free_port, redis, service
from benchmarks.serving.rows import Row, spread
from candor.cli.loading.drive import Load, run_stage, send
from candor.cli.loading.mix import parse_mix
from candor.cli.loading.pace import Closed, Open, Stage
from candor.cli.loading.rows import made_for
from candor.cli.loading.samples import Samples
from candor.cli.loading.summary import Summary, of_all
from candor.client import AsyncClient

__all__ = ["beside_lime", "loads", "overload", "redis_lost", "stage", "stopped"]

_PREDICT, _LIME = "photos", "photos:lime"
# Short enough that many end within a turn.
_SHORT_LIME = "digits-lenet:lime"
_ROUNDS = 5


def beside_lime(seconds: float) -> Iterator[Row]:
    """Latency of predictions, idle and while LIME fills the service, in turns."""

    async def measure() -> tuple[list[float], list[float]]:
        idle, busy = [], []
        async with loads(running.target, seconds, _PREDICT, _LIME) as (predict, lime):
            for _ in range(_ROUNDS):
                idle.append((await stage(predict, Open(20, 20))).percentiles_ms[99.0])
                pair = await asyncio.gather(stage(predict, Open(20, 20)), stage(lime, Closed(4)))
                busy.append(pair[0].percentiles_ms[99.0])
        return idle, busy

    with service() as running:
        idle, busy = asyncio.run(measure())
    more = [b - 2 * a for a, b in zip(idle, busy, strict=True)]
    yield Row(
        "predictions, 20 a second, p99, while four callers of LIME fill the service",
        f"{spread(busy, 1)} ms", f"{spread(idle, 1)} ms idle", f"2 x idle {spread(more, 1)} ms",
        "<= 2 x idle + 25 ms",
    )  # fmt: skip


def overload(seconds: float) -> Iterator[Row]:
    """Five times as much LIME as the service can do, with predictions beside it, as at its peak."""

    async def measure() -> tuple[Summary, Summary, Summary, Summary]:
        async with loads(running.target, seconds, _PREDICT, _SHORT_LIME) as (predict, lime):
            some = Open(20, 20)
            peak, calm = await asyncio.gather(stage(lime, Closed(2)), stage(predict, some))
            five = Open(5 * peak.rate, 5 * peak.rate)
            flooded, beside = await asyncio.gather(stage(lime, five), stage(predict, some))
        return peak, calm, flooded, beside

    with service() as running:
        peak, calm, flooded, beside = asyncio.run(measure())
    refused = ", ".join(f"{count} {kind}" for kind, count in flooded.failures.items())
    yield Row(
        "LIME at five times its peak rate: goodput",
        f"{flooded.rate:.1f} /s ({refused})", f"{peak.rate:.1f} /s at peak",
        f"{flooded.rate / peak.rate:.2f}", ">= 0.9",
    )  # fmt: skip
    yield Row(
        "and predictions beside it, 20 a second: answered, p99",
        f"{beside.n_ok} of {beside.n_due}, {beside.percentiles_ms[99.0]:.1f} ms",
        f"{calm.percentiles_ms[99.0]:.1f} ms at peak", "", "all",
    )  # fmt: skip


def redis_lost(seconds: float) -> Iterator[Row]:
    """Redis killed after a third of the time, and started again after two."""
    port = free_port()
    third = seconds

    async def measure() -> Summary:
        async with loads(running.target, 3 * third, "photos:grad_cam") as (load,):
            asking = asyncio.create_task(stage(load, Open(40, 40)))
            with redis(port):
                await asyncio.sleep(third)
            await asyncio.sleep(third)
            with redis(port):
                return await asking

    url = f"redis://127.0.0.1:{port}/0"
    with service(redis_url=url, cache_memory_bytes="0") as running:
        summary = asyncio.run(measure())
    yield Row(
        "Redis killed and started again under 40 explanations a second: failures",
        f"{summary.n_due - summary.n_ok} of {summary.n_due}", "", "", "0",
    )  # fmt: skip


def stopped(seconds: float) -> Iterator[Row]:
    """SIGTERM while eight callers ask: what was taken is answered, what comes later is refused."""

    async def measure() -> Summary:
        async with loads(running.target, 2 * seconds, _PREDICT, _LIME) as (predict, lime):
            asking = asyncio.gather(stage(predict, Closed(6)), stage(lime, Closed(2)))
            await asyncio.sleep(seconds)
            running.process.send_signal(signal.SIGTERM)
            found = await asking
        failures: dict[str, int] = {}
        for summary in found:
            for kind, count in summary.failures.items():
                failures[kind] = failures.get(kind, 0) + count
        return replace(found[0], failures=failures, n_ok=sum(part.n_ok for part in found))

    with service() as running:
        summary = asyncio.run(measure())
        code = running.process.wait(60)
    lost = {kind: n for kind, n in summary.failures.items() if kind != "unavailable"}
    yield Row(
        f"SIGTERM under load (exit code {code}): lost",
        f"{sum(lost.values())} of {summary.n_ok} {lost or ''}".strip(), "", "", "0",
    )  # fmt: skip


@asynccontextmanager
async def loads(target: str, seconds: float, *kinds: str) -> AsyncIterator[list[Load]]:
    """A connected load for each kind of request, the first of each sent."""
    rng = np.random.default_rng(0)
    async with AsyncClient(target, attempts=1) as client:
        loads = []
        for ask in parse_mix(kinds):
            source = made_for(await client.model(ask.model), 1, 32, 0, rng)
            loads.append(
                Load(
                    client, [ask], [source], seconds, timeout_s=30.0, cache="use",
                    steady=False, max_under_way=1000, rng=rng,
                )
            )  # fmt: skip
            await send(loads[-1], 0)
        yield loads


async def stage(load: Load, pace: Stage) -> Summary:
    """Run one stage; its figures."""
    samples = Samples()
    await run_stage(load, pace, samples)
    return of_all(samples.columns())
