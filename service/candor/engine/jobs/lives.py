"""The lives of a server's jobs: begun, gone on with, cancelled, ended when the server stops."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from candor.engine.jobs.codec import decode_request
from candor.engine.jobs.docket import Docket
from candor.engine.jobs.keeper import Keeper
from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.record import Job
from candor.engine.jobs.running import Submission, run_job
from candor.engine.jobs.shelf import Shelf
from candor.engine.jobs.turnstile import Turnstile
from candor.engine.redis_client import heeded
from candor.engine.sealed import Malformed
from candor.errors import Unavailable, Unsupported

__all__ = ["DEADLY", "Kept", "Lives", "Revive"]

DEADLY: Final = 2
"""A job that was running when so many servers died is not run again."""
_AGAIN_S: Final = 1.0

Revive: TypeAlias = Callable[[Job, bytes], Awaitable[Submission]]
"""Makes of what was kept of a request what was made of it at first."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where jobs are kept beside memory: in Redis."""

    shelf: Shelf
    docket: Docket
    reader: Reader
    keeper: Keeper


class Lives:
    """Runs what is in memory; lives on the event loop."""

    def __init__(
        self, memory: Memory, kept: Kept | None, *, server: str, slots: int, secret: bytes
    ) -> None:
        """Put the parts together.

        Args:
            memory: bounds what this server takes on.
            kept: where other servers see it; None: nowhere.
            server: who we are.
            slots: jobs that run at a time.
            secret: of the keys, 32 bytes.
        """
        self._memory = memory
        self._kept = kept
        self._server = server
        self._turnstile = Turnstile(slots)
        self._secret = secret
        # What was running when a server died may be what it died of: one such job at a time, so
        # that the next death is not laid to the others' charge.
        self._suspects = asyncio.Lock()

    def begin(self, held: Held, asked: Submission) -> None:
        """Have a new job run, once it is known that it is new.

        Raises:
            Overloaded, Unsupported: there is no room for it.
        """
        self._memory.take_on(held)
        held.request = asked.kept
        held.task = asyncio.create_task(self._live(held, asked), name=f"candor-job-{asked.id}")

    def go_on(self, held: Held, revive: Revive) -> None:
        """Have a job run that another server had, and that is ours now."""
        held.ours = True
        held.task = asyncio.create_task(
            self._resumed(held, revive), name=f"candor-job-{held.job.id}"
        )

    def cancel(self, key: str) -> None:
        """Stop a job, if it is here and has not ended."""
        held = self._memory.get(key)
        if held is not None and held.task is not None and not held.job.ended:
            held.task.cancel()

    async def end(self, seconds: float) -> None:
        """Let what runs end within this time; the rest is left to others, or lost."""
        under_way = self._memory.under_way()
        await asyncio.gather(*(held.known for held in under_way), return_exceptions=True)
        for held in under_way:
            if held.job.state == "queued":
                _stop(held)
        tasks = [held.task for held in under_way if held.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for held in self._memory.under_way():
                _stop(held)
            if late:
                await asyncio.wait(late)
        if self._kept is not None:
            await self._kept.keeper.finish(self._server)

    async def _live(self, held: Held, asked: Submission) -> None:
        """The whole life of a job, from before it is known whether it is to have one."""
        try:
            there = await self._kept.keeper.register(held) if self._kept else None
        except Unavailable:
            there = None  # it runs all the same, and Redis is told of it when it is back
        except Exception as error:  # noqa: BLE001 - it is whoever submits that is told
            self._memory.forget(held)
            held.known.set_exception(error)
            return
        held.known.set_result(there or held.job)
        if there is not None:
            self._memory.forget(held)
            return
        held.ours = True

        async def asking() -> Submission:
            return asked

        await self._run(held, asking)

    async def _resumed(self, held: Held, revive: Revive) -> None:
        async def asking() -> Submission:
            if held.job.deaths >= DEADLY:
                raise Unsupported(
                    f"{held.job.deaths} servers died while they ran this job, each for itself; it "
                    "is not tried again. It may need more memory than there is: ask for fewer "
                    "rows, targets or methods at a time"
                )
            held.request = await self._request(held)
            asked = await revive(held.job, held.request)
            if asked.digest != held.job.digest:
                raise Unavailable("what is kept in Redis is not what was asked")
            return asked

        await self._run(held, asking)

    async def _run(self, held: Held, asking: Callable[[], Awaitable[Submission]]) -> None:
        self._tend()
        alone = self._suspects if held.job.deaths else None
        await run_job(held, asking, self._memory, self._turnstile, alone)
        if held.taken:
            self._memory.forget(held)
        self._tend()

    async def _request(self, held: Held) -> bytes:
        if self._kept is None:
            raise Unavailable("jobs are kept nowhere")
        sealed: bytes | None = None
        while sealed is None:
            try:
                sealed = await heeded(self._kept.shelf.request((held.key, held.job.moves)))
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)
        request = await asyncio.to_thread(decode_request, sealed, held.key, self._secret)
        if isinstance(request, Malformed):
            raise Unavailable("what was asked is no longer in Redis")
        return request

    def _tend(self) -> None:
        if self._kept is not None:
            self._kept.keeper.tend(self._server, self.cancel)


def _stop(held: Held) -> None:
    held.stopping = True
    if held.task is not None:
        held.task.cancel()
