"""Jobs of servers that died, taken over: looked for every so often, and gone on with.

Rows that were finished are in the cache, where it may be used, and are not computed again.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Final

from candor.engine.jobs.lives import Kept, Lives, Revive
from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.record import Job
from candor.errors import Overloaded, Unavailable, Unsupported
from candor.metrics import Metrics

__all__ = ["Heir"]

_LOG = logging.getLogger("candor.jobs")

_EVERY_S: Final = 2.0


class Heir:
    """Takes over what dead servers had."""

    def __init__(self, memory: Memory, kept: Kept, lives: Lives, metrics: Metrics) -> None:
        self._memory = memory
        self._kept = kept
        self._lives = lives
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def watch(self, server: str, revive: Revive) -> None:
        """Look for such jobs from now on.

        Args:
            server: who we are.
            revive: makes of what was kept of a request what was made of it at first.
        """
        self._task = asyncio.create_task(self._watch(server, revive), name="candor-jobs-heir")

    async def stop(self) -> None:
        """Look no more; what was taken over goes on."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _watch(self, server: str, revive: Revive) -> None:
        every_s = min(_EVERY_S, self._kept.keeper.lost_s / 2)
        while not self._stopping.is_set():
            try:
                await self._look(server, revive)
            except Unavailable:
                pass  # the keeper says so
            except Exception:  # noqa: BLE001 - the next look may go better
                _LOG.exception("jobs of dead servers are not looked for")
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._stopping.wait()

    async def _look(self, server: str, revive: Revive) -> None:
        servers = await self._kept.docket.servers()
        alive = await self._kept.docket.alive(sorted(servers)) if servers else set()
        # Ours too: what we took over when Redis did not say that it is ours.
        for each in sorted(servers - alive | servers & {server}):
            if not await self._inherit(each, server, revive):
                return

    async def _inherit(self, dead: str, server: str, revive: Revive) -> bool:
        """Take over what one has; False where there is no room for more."""
        keys = sorted(await self._kept.docket.at(dead))
        if not keys and dead != server:
            await self._kept.docket.forget(dead)
        found = await self._kept.reader.standing(keys) if keys else []
        for key, standing in zip(keys, found, strict=True):
            if self._stopping.is_set():
                return False
            held = self._memory.get(key)
            if held is not None and not held.job.ended:
                continue
            job = standing.job
            if job is None and not standing.whole:
                continue  # who knows
            if job is None or job.ended or job.server != dead:
                await self._kept.docket.detach(dead, key)
            elif not await self._take_over(key, job, standing.written, server, revive):
                return False
        return True

    async def _take_over(
        self, key: str, job: Job, data: bytes, server: str, revive: Revive
    ) -> bool:
        sizes = await self._kept.shelf.requests([(key, job.moves)])
        if key not in sizes:
            # Nobody can: whoever asks is told that it is lost.
            await self._kept.docket.detach(job.server, key)
            return True
        if (before := self._memory.get(key)) is not None:
            self._memory.forget(before)
        deaths = job.deaths + (job.state == "running")
        ours = replace(job, server=server, state="queued", deaths=deaths)
        held = Held(ours, key, job.caller, sizes[key], written=data)
        held.known.set_result(ours)
        try:
            self._memory.take_on(held)
        except (Overloaded, Unsupported):
            return False
        claimed = False
        try:
            claimed = await self._kept.keeper.claim(held)
        finally:
            if not claimed:
                self._memory.forget(held)
        if claimed:
            _LOG.warning("job of a dead server taken over", extra={"job": job.id, "deaths": deaths})
            self._metrics.job_taken_over()
            self._lives.go_on(held, revive)
            if job.server != server:
                await self._kept.docket.detach(job.server, key)
        return True
