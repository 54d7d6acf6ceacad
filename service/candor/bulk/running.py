"""Chunks to parts: a bounded number of calls under way, answers written in the rows' order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TypeAlias

from candor.bulk.asking import Answered, ask_batch
from candor.bulk.chunks import Chunk
from candor.bulk.job import Job
from candor.bulk.parts import Counts, Part
from candor.bulk.places import Answerer
from candor.bulk.reading import Batch, batches_of
from candor.errors import InvalidInput

__all__ = ["run_chunks"]

_Asked: TypeAlias = tuple[Batch, "asyncio.Task[list[Answered]]"]


async def run_chunks(
    job: Job, answerer: Answerer, chunks: Iterable[Chunk]
) -> AsyncGenerator[Counts, None]:
    """Work on chunks until all of them are parts; tells of every few rows that are written.

    Raises:
        CandorError: the service could not be reached for too long, refuses us, or has another
            model by now; an input has changed; or, where the job is told so, a row has an error.
            Parts that are there stay.
    """
    part: Part | None = None
    try:
        async with aclosing(_answered(job, answerer, chunks)) as answered:
            async for batch, answers in answered:
                if job.fail_fast:
                    _check(batch, answers)
                if part is None:
                    part = Part(job.out, batch.chunk.number, job.shape)
                counts = await asyncio.to_thread(part.add, batch.rows, answers)
                if batch.last:
                    await asyncio.to_thread(part.finish)
                    part = None
                yield counts
    finally:
        if part is not None:
            part.abandon()


async def _answered(
    job: Job, answerer: Answerer, chunks: Iterable[Chunk]
) -> AsyncGenerator[tuple[Batch, list[Answered]], None]:
    """Batches in order with their answers.

    No more than `in_flight` are asked at a time, and as many again may wait for one before them.
    """
    batches = batches_of(chunks, job.layout, job.call_rows)
    slots = asyncio.Semaphore(job.in_flight)
    waiting: deque[_Asked] = deque()

    async def ask(batch: Batch) -> list[Answered]:
        async with slots:
            return await ask_batch(answerer, job.question, batch)

    try:
        while True:
            batch = await asyncio.to_thread(next, batches, None)
            if batch is not None:
                waiting.append((batch, asyncio.create_task(ask(batch))))
            while waiting and (batch is None or len(waiting) >= 2 * job.in_flight):
                first, task = waiting.popleft()
                yield first, await task
            if batch is None:
                return
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


def _check(batch: Batch, answers: list[Answered]) -> None:
    for row, answer in zip(batch.rows, answers, strict=True):
        if isinstance(answer, str):
            raise InvalidInput(f"{row.path}, row {row.number}: {answer}")
