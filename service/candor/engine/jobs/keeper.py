"""This server's jobs in Redis: written while they run, and when they end.

What cannot be written is tried again while this server has it. A server that has jobs under way
says every so often that it lives; what it says is also how others know that it does not.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from candor.engine.jobs.codec import encode_answer, encode_job
from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.record import Job, tenant_key
from candor.engine.jobs.shelf import Shelf
from candor.errors import Unavailable

__all__ = ["Keeper"]

_LOG = logging.getLogger("candor.jobs")

_EVERY_S: Final = 0.5
_LEAST_S: Final = 0.05
"""Redis hears of jobs under way twice a second, or more often where a server is lost sooner."""


class Keeper:
    """Writes the jobs of one server."""

    def __init__(
        self, shelf: Shelf, memory: Memory, reader: Reader, *, secret: bytes, lost_s: float
    ) -> None:
        """Put it between memory and Redis.

        Args:
            shelf: Redis.
            memory: the jobs of this server.
            reader: of those of all servers.
            secret: of keys and values, 32 bytes.
            lost_s: a server that says nothing for so long is dead.
        """
        self._shelf = shelf
        self._memory = memory
        self._reader = reader
        self._secret = secret
        self._lost_s = max(lost_s, 4 * _LEAST_S)
        self._every_s = min(_EVERY_S, self._lost_s / 4)
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._well = True
        self._stopping = False

    def tend(self, server: str, cancel: Callable[[str], None]) -> None:
        """Have what is in memory written from now on, while there is something to write.

        Args:
            server: who we are.
            cancel: called with the key of a job that somebody wants to end.
        """
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._tend(server, cancel), name="candor-jobs-redis")

    async def register(self, held: Held) -> Job | None:
        """Store a new job; the job that stands there already, where it is not lost.

        Raises:
            Unavailable: Redis does not answer.
        """
        await self._shelf.beat(held.job.server, self._lost_s)
        record = encode_job(held.job, held.key, self._secret)
        if await self._shelf.create(held.key, record):
            return None
        there, _ = await self._reader.fetch(held.key)
        if there is not None and there.state != "lost":
            return there
        # Two who find the same lost job at once both run it: twice the work, and one answer.
        await self._shelf.unflag(held.key)
        await self._shelf.put([(held.key, record)], ended=False)
        return None

    async def finish(self, server: str) -> None:
        """Write what is left to be written, once, and say that we are gone."""
        await self._stop()
        with suppress(Unavailable):
            await self._write_ended()
            await self._shelf.gone(server)

    async def close(self) -> None:
        """Hang up."""
        await self._stop()
        await self._shelf.close()

    async def _stop(self) -> None:
        # By a word, and not by cancelling it: the client of Redis keeps some cancellations to
        # itself. It takes no longer than one time-out.
        self._stopping = True
        self._news.set()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _tend(self, server: str, cancel: Callable[[str], None]) -> None:
        while not self._stopping:
            self._news.clear()
            under_way = [held for held in self._memory.under_way() if held.ours]
            try:
                # Also to see whether Redis is back, before answers are sealed for it.
                if under_way or not self._well:
                    await self._shelf.beat(server, self._lost_s)
                await self._write_ended()
                if under_way:
                    await self._write_under_way(under_way)
                    for key in await self._shelf.flagged([held.key for held in under_way]):
                        cancel(key)
                self._answers(well=True)
            except Unavailable as error:
                self._answers(well=False, cause=error.__cause__)
            idle = not under_way and not self._unsaved()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if idle else self._every_s):
                    await self._news.wait()

    async def _write_under_way(self, under_way: Sequence[Held]) -> None:
        # What has ended meanwhile is written with its answer.
        running = [held for held in under_way if not held.job.ended]
        records = [(held.key, encode_job(held.job, held.key, self._secret)) for held in running]
        if records:
            await self._shelf.put(records, ended=False)
        for held in running:
            if not held.enlisted:
                await self._enlist(held.job)
                held.enlisted = True

    async def _write_ended(self) -> None:
        for held in self._unsaved():
            # The answer first: a job that has succeeded has one.
            if held.answer is not None:
                sealed = await asyncio.to_thread(encode_answer, held.answer, held.key, self._secret)
                if sealed is not None:
                    await self._shelf.put_answer(held.key, sealed)
            record = encode_job(held.job, held.key, self._secret)
            await self._shelf.put([(held.key, record)], ended=True)
            await self._enlist(held.job)
            held.saved = True

    def _unsaved(self) -> list[Held]:
        return [
            held for held in self._memory.all() if held.ours and held.job.ended and not held.saved
        ]

    async def _enlist(self, job: Job) -> None:
        await self._shelf.enlist(tenant_key(job.tenant, self._secret), job.id, job.submitted_at)

    def _answers(self, *, well: bool, cause: BaseException | None = None) -> None:
        if well != self._well:
            self._well = well
            if well:
                _LOG.info("jobs are kept in Redis again")
            else:
                _LOG.warning("jobs are not kept in Redis", extra={"reason": repr(cause)})
