"""Send the requests of one stage and note what came of each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np

from candor.cli.loading.mix import Ask, draw
from candor.cli.loading.pace import Closed, Open, Stage, due_times
from candor.cli.loading.rows import RowSource
from candor.cli.loading.samples import NOT_SENT, OK, Sample, Samples
from candor.client import AsyncClient, Explanation
from candor.errors import CandorError

__all__ = ["Load", "run_stage", "send"]


@dataclass(frozen=True, slots=True)
class Load:
    """What is the same in every stage.

    Attributes:
        client: connected.
        asks: the mix.
        sources: the rows of each kind, in the mix's order.
        seconds: how long a stage sends.
        timeout_s: the deadline of each request.
        cache: what is asked of the server's cache.
        steady: an open loop sends at even distances, rather than at random ones.
        max_under_way: an open loop sends no more than these at a time.
        rng: draws the mix and the arrivals.
    """

    client: AsyncClient
    asks: Sequence[Ask]
    sources: Sequence[RowSource]
    seconds: float
    timeout_s: float
    cache: Literal["use", "refresh", "bypass"]
    steady: bool
    max_under_way: int
    rng: np.random.Generator


async def run_stage(load: Load, stage: Stage, samples: Samples) -> None:
    """Send for the stage's time, and wait until everything sent is answered."""
    match stage:
        case Closed():
            await _closed(load, stage, samples)
        case Open():
            await _open(load, stage, samples)


async def send(load: Load, ask: int) -> str:
    """Send one request of a kind; where its answers came from.

    Raises:
        CandorError: as the client has it.
    """
    kind, rows = load.asks[ask], load.sources[ask]()
    if not kind.methods:
        await load.client.predict(kind.model, timeout_s=load.timeout_s, **rows)
        return ""
    explanation = await load.client.explain(
        kind.model, kind.methods, timeout_s=load.timeout_s, cache=load.cache, **rows
    )
    return _cache(explanation)


async def _closed(load: Load, stage: Closed, samples: Samples) -> None:
    began = perf_counter()

    async def caller() -> None:
        while (now := perf_counter() - began) < load.seconds:
            samples.add(await _sample(load, began, now))

    async with asyncio.TaskGroup() as callers:
        for _ in range(stage.callers):
            callers.create_task(caller())


async def _open(load: Load, stage: Open, samples: Samples) -> None:
    began = perf_counter()
    under_way = 0

    async def one(due: float) -> None:
        nonlocal under_way
        under_way += 1
        try:
            samples.add(await _sample(load, began, due))
        finally:
            under_way -= 1

    async with asyncio.TaskGroup() as requests:
        for due in due_times(stage, load.seconds, load.rng, steady=load.steady):
            wait = due - (perf_counter() - began)
            # Even a late one gives the others their turn: tasks begin when this one waits.
            await asyncio.sleep(max(wait, 0))
            if under_way < load.max_under_way:
                requests.create_task(one(float(due)))
            else:
                now = perf_counter() - began
                ask = draw(load.asks, load.rng)
                samples.add(Sample(ask, float(due), now, now, NOT_SENT, ""))


async def _sample(load: Load, began: float, due: float) -> Sample:
    ask = draw(load.asks, load.rng)
    sent = perf_counter() - began
    try:
        cache = await send(load, ask)
    except CandorError as error:
        return Sample(ask, due, sent, perf_counter() - began, error.kind, "")
    return Sample(ask, due, sent, perf_counter() - began, OK, cache)


def _cache(explanation: Explanation) -> str:
    statuses = {answer.cache or "" for answer in explanation.answers}
    return statuses.pop() if len(statuses) == 1 else "partial"
