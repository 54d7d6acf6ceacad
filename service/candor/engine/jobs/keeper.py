"""This server's jobs in Redis: written while they run, and when they end.

What cannot be written is tried again while this server has it. A server that has jobs under way
says every so often that it lives; what it says is also how others know that it does not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from candor.engine.jobs.docket import Docket
from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.record import Job, JobState
from candor.engine.jobs.shelf import Shelf
from candor.engine.jobs.writer import Writer, where
from candor.errors import Unavailable

__all__ = ["Keeper"]

_LOG = logging.getLogger("candor.jobs")

Step: TypeAlias = Callable[[], Awaitable[object]]

_EVERY_S: Final = 0.5
_LEAST_S: Final = 0.05
"""Redis hears of jobs under way twice a second, or more often where a server is lost sooner."""


class Keeper:
    """Writes the jobs of one server."""

    def __init__(
        self,
        shelf: Shelf,
        docket: Docket,
        memory: Memory,
        reader: Reader,
        *,
        secret: bytes,
        lost_s: float,
    ) -> None:
        """Put it between memory and Redis.

        Args:
            shelf: Redis, as far as jobs go.
            docket: Redis, as far as servers go.
            memory: the jobs of this server.
            reader: of those of all servers.
            secret: of keys and values, 32 bytes.
            lost_s: a server that says nothing for so long is dead.
        """
        self._shelf = shelf
        self._docket = docket
        self._memory = memory
        self._reader = reader
        self._writer = Writer(shelf, docket, reader, secret)
        self.lost_s = max(lost_s, 4 * _LEAST_S)
        self._every_s = min(_EVERY_S, self.lost_s / 4)
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
        server, key = held.job.server, held.key
        await self._docket.beat(server, self.lost_s)
        await self._docket.attach(server, [key])
        while True:
            (standing,) = await self._reader.standing([key])
            there = await self._reader.there(standing, key)
            if there is not None:
                await self._docket.detach(server, key)
                return there
            if standing.job is not None:
                held.job = replace(held.job, moves=standing.job.moves)
            if standing.written:
                await self._shelf.unflag(key)
            found = await self._writer.put_new(held)
            if found is None:
                return None
            held.written = found

    async def claim(self, held: Held) -> bool:
        """Write a job of a dead server as ours; False where another was quicker.

        Raises:
            Unavailable: Redis does not answer, and it may be ours or not.
        """
        await self._docket.beat(held.job.server, self.lost_s)
        await self._docket.attach(held.job.server, [held.key])
        held.resumable = await self._writer.put_claim(held)
        if not held.resumable:
            await self._docket.detach(held.job.server, held.key)
        return held.resumable

    async def finish(self, server: str) -> None:
        """Write what is left to be written, once, and say that we are gone."""
        await self._stop()
        left = [held for held in self._memory.under_way() if held.ours]
        for held in left:
            # Whoever takes it over shall not think that we died of it.
            held.job = replace(held.job, state="queued")
        writings = (partial(self._writer.put, held) for held in left)
        with suppress(Unavailable):
            await self._each([self._write_ended, *writings, partial(self._docket.gone, server)])

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
            states = [held.job.state for held in under_way]
            steps: list[Step] = []
            # Also to see whether Redis is back, before answers are sealed for it.
            if under_way or not self._well:
                steps.append(partial(self._docket.beat, server, self.lost_s))
            steps.append(self._write_ended)
            if under_way:
                steps.append(partial(self._write_under_way, under_way, states))
                steps.append(partial(self._heed, under_way, cancel))
            try:
                await self._each(steps)
                self._answers(well=True)
            except Unavailable as error:
                self._answers(well=False, cause=error.__cause__)
            idle = not under_way and not self._unsaved()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if idle else self._every_s):
                    await self._news.wait()

    async def _heed(self, under_way: Sequence[Held], cancel: Callable[[str], None]) -> None:
        for key in await self._shelf.flagged([where(held) for held in under_way]):
            cancel(key)

    async def _write_under_way(self, under_way: Sequence[Held], states: Sequence[JobState]) -> None:
        """Write those that are still in the states that they had when ends were last looked for.

        The others come next time: where one job waits for another's end, that end is written first,
        so that nobody who finds this server dead takes both for what it died of.
        """
        records, requests = await self._shelf.refresh([where(held) for held in under_way])
        await self._each(
            partial(
                self._writer.put,
                held,
                gone=held.key in records,
                unasked=held.key in requests,
            )
            for held, state in zip(under_way, states, strict=True)
            if held.job.state == state
        )

    async def _write_ended(self) -> None:
        await self._each(partial(self._writer.put_end, held) for held in self._unsaved())

    async def _each(self, steps: Iterable[Step]) -> None:
        """Take all of them: in a cluster one that cannot be taken says nothing of the others."""
        failed = None
        for step in steps:
            try:
                await step()
            except Unavailable as error:
                if self._shelf.n_places == 1:
                    raise
                failed = error
        if failed is not None:
            raise failed

    def _unsaved(self) -> list[Held]:
        return [
            held for held in self._memory.all() if held.ours and held.job.ended and not held.saved
        ]

    def _answers(self, *, well: bool, cause: BaseException | None = None) -> None:
        if well != self._well:
            self._well = well
            if well:
                _LOG.info("jobs are kept in Redis again")
            else:
                _LOG.warning("jobs are not kept in Redis", extra={"reason": repr(cause)})
