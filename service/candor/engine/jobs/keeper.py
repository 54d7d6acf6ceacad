"""This server's jobs in Redis: written while they run, and when they end.

What cannot be written is tried again while this server has it. A server that has jobs under way
says every so often that it lives; what it says is also how others know that it does not.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from candor.engine.jobs.codec import encode_answer, encode_job, encode_request
from candor.engine.jobs.docket import Docket
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
_TRIES: Final = 3


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
        self._secret = secret
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
        record = encode_job(held.job, key, self._secret)
        while (
            found := await self._shelf.replace(key, held.written, record, ended=False)
        ) is not None:
            there, _ = await self._reader.fetch(key)
            if there is not None and there.state != "lost":
                await self._docket.detach(server, key)
                return there
            held.written = found
            await self._shelf.unflag(key)
        held.written = record
        await self._keep_request(held)
        return None

    async def claim(self, held: Held) -> bool:
        """Write a job of a dead server as ours; False where another was quicker.

        Raises:
            Unavailable: Redis does not answer, and it may be ours or not.
        """
        await self._docket.beat(held.job.server, self.lost_s)
        await self._docket.attach(held.job.server, [held.key])
        record = encode_job(held.job, held.key, self._secret)
        if await self._shelf.replace(held.key, held.written, record, ended=False) is not None:
            await self._docket.detach(held.job.server, held.key)
            return False
        held.written = record
        held.resumable = True
        return True

    async def finish(self, server: str) -> None:
        """Write what is left to be written, once, and say that we are gone."""
        await self._stop()
        with suppress(Unavailable):
            await self._write_ended()
            for held in [each for each in self._memory.under_way() if each.ours]:
                # Whoever takes it over shall not think that we died of it.
                held.job = replace(held.job, state="queued")
                await self._put(held, ended=False)
            await self._docket.gone(server)

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
                    await self._docket.beat(server, self.lost_s)
                await self._write_ended()
                if under_way:
                    await self._write_under_way(server, under_way)
                    for key in await self._shelf.flagged([held.key for held in under_way]):
                        cancel(key)
                self._answers(well=True)
            except Unavailable as error:
                self._answers(well=False, cause=error.__cause__)
            idle = not under_way and not self._unsaved()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if idle else self._every_s):
                    await self._news.wait()

    async def _write_under_way(self, server: str, under_way: Sequence[Held]) -> None:
        records, requests = await self._shelf.refresh([held.key for held in under_way])
        for held in under_way:
            if held.job.ended or not held.ours:
                continue  # what has ended meanwhile is written with its answer
            gone = held.key in records
            if gone or encode_job(held.job, held.key, self._secret) != held.written:
                await self._put(held, ended=False)
            if held.key in requests and held.request is not None:
                gone = True
                await self._keep_request(held)
            if gone:
                await self._docket.attach(server, [held.key])
            if gone or not held.enlisted:
                await self._enlist(held.job)
                held.enlisted = True

    async def _write_ended(self) -> None:
        for held in self._unsaved():
            if held.answer is not None and await self._is_ours(held):
                # The answer first: a job that has succeeded has one.
                sealed = await asyncio.to_thread(encode_answer, held.answer, held.key, self._secret)
                if sealed is not None:
                    await self._shelf.put_answer(held.key, sealed)
            written = held.ours and await self._put(held, ended=True)
            if written:
                await self._enlist(held.job)
                await self._shelf.drop_request(held.key)
                await self._docket.detach(held.job.server, held.key)
            held.saved = written or not held.ours

    async def _keep_request(self, held: Held) -> None:
        if held.request is None or held.job.ended:
            return
        sealed = await asyncio.to_thread(encode_request, held.request, held.key, self._secret)
        if sealed is None:
            held.request = None  # too large: it ends with this server
            return
        await self._shelf.put_request(held.key, sealed)
        held.resumable = True

    async def _put(self, held: Held, *, ended: bool) -> bool:
        """Write a record; False where the job is another server's now."""
        record = encode_job(held.job, held.key, self._secret)
        for _ in range(_TRIES):
            found = await self._shelf.replace(held.key, held.written, record, ended=ended)
            if found is None:
                held.written = record
                return True
            if not self._may_replace(held, found):
                return False
        return False

    async def _is_ours(self, held: Held) -> bool:
        found = (await self._shelf.get([held.key]))[0]
        return not found or self._may_replace(held, found)

    def _may_replace(self, held: Held, found: bytes) -> bool:
        """Whether a record that we did not expect is an older one of ours, or none at all."""
        there = self._reader.decoded(found, held.key)
        if there is None or there.server == held.job.server:
            held.written = found
            return True
        held.ours = held.resumable = False
        if there.digest == held.job.digest and not held.job.ended:
            # We were thought dead, and somebody went on: one answer is enough.
            held.taken = True
            if held.task is not None:
                held.task.cancel()
        return False

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
