"""One job to Redis: its record, its request, its answer, and where they lie.

A job lies where its key belongs, until whoever keeps that does not answer: then it is put at its
other place, and its record says that this one holds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from candor.engine.jobs.codec import encode_answer, encode_job, encode_request
from candor.engine.jobs.docket import Docket
from candor.engine.jobs.memory import Held
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.record import Job, tenant_key
from candor.engine.jobs.shelf import Shelf, Where
from candor.errors import Unavailable

__all__ = ["Writer", "where"]

T = TypeVar("T")

_TRIES: Final = 3


class Writer:
    """Writes jobs of this server; each method raises Unavailable where nobody takes it."""

    def __init__(self, shelf: Shelf, docket: Docket, reader: Reader, secret: bytes) -> None:
        self._shelf = shelf
        self._docket = docket
        self._reader = reader
        self._secret = secret

    async def put_new(self, held: Held) -> bytes | None:
        """Write a job where nothing stands but what was seen; else what stands there."""
        found = await self._somewhere(held, partial(self._stands, held, ended=False))
        if found is None:
            await self._keep_request(held)
        return found

    async def put_claim(self, held: Held) -> bool:
        """Write the record of a job of which the rest is there; False where another stands."""
        return await self._stands(held, ended=False) is None

    async def put(self, held: Held, *, gone: bool = False, unasked: bool = False) -> None:
        """Write a job under way.

        Args:
            held: the job.
            gone: its record is not there, or cannot be reached.
            unasked: what was asked is not there.
        """
        if held.job.ended or not held.ours:
            return  # what has ended meanwhile is written with its answer
        if gone or encode_job(held.job, held.key, self._secret) != held.written:
            await self._somewhere(held, partial(self._put, held, ended=False))
        if unasked and held.request is not None:
            gone = True
            await self._keep_request(held)
        if gone:
            await self._docket.attach(held.job.server, [held.key])
        if gone or not held.enlisted:
            await self._enlist(held.job)
            held.enlisted = True

    async def put_end(self, held: Held) -> None:
        """Write a job that has ended, with its answer."""
        written = await self._somewhere(held, partial(self._put_end, held))
        if written:
            await self._enlist(held.job)
            await self._shelf.drop_request(where(held))
            await self._docket.detach(held.job.server, held.key)
        held.saved = written or not held.ours

    async def _put_end(self, held: Held) -> bool:
        if held.answer is not None and await self._is_ours(held):
            # The answer first: a job that has succeeded has one.
            sealed = await asyncio.to_thread(encode_answer, held.answer, held.key, self._secret)
            if sealed is not None:
                await self._shelf.put_answer(where(held), sealed)
        return held.ours and await self._put(held, ended=True)

    async def _keep_request(self, held: Held) -> None:
        if held.request is None or held.job.ended:
            return
        sealed = await asyncio.to_thread(encode_request, held.request, held.key, self._secret)
        if sealed is None:
            held.request = None  # too large: it ends with this server
            return
        await self._shelf.put_request(where(held), sealed)
        held.resumable = True

    async def _put(self, held: Held, *, ended: bool) -> bool:
        """Write a record; False where the job is another server's now."""
        for _ in range(_TRIES):
            found = await self._stands(held, ended=ended)
            if found is None:
                return True
            if not self._may_replace(held, found):
                return False
        return False

    async def _stands(self, held: Held, *, ended: bool) -> bytes | None:
        """Put a record in the place of the one that was seen; what stands there, if that does."""
        record = encode_job(held.job, held.key, self._secret)
        found = await self._shelf.replace(where(held), held.written, record, ended=ended)
        if found is None:
            held.written = record
        return found

    async def _somewhere(self, held: Held, write: Callable[[], Awaitable[T]]) -> T:
        """Write a job, at its other place where whoever keeps this one does not answer.

        Raises:
            Unavailable: nobody does.
        """
        try:
            return await write()
        except Unavailable:
            if self._shelf.n_places == 1:
                raise
            before, held.written = held.written, b""
            held.job = replace(held.job, moves=held.job.moves + 1)
            try:
                return await write()
            except Unavailable:
                held.job, held.written = replace(held.job, moves=held.job.moves - 1), before
                raise

    async def _is_ours(self, held: Held) -> bool:
        found = await self._shelf.record(where(held))
        return not found or self._may_replace(held, found)

    def _may_replace(self, held: Held, found: bytes) -> bool:
        """Whether a record that we did not expect is an older one of ours, or none at all."""
        there = self._reader.decoded(found, held.key)
        if there is None or there.server == held.job.server or there.moves < held.job.moves:
            held.written = found
            return True
        held.ours = held.resumable = False
        if there.digest == held.job.digest and not held.job.ended:
            # We were thought dead, and somebody went on: one answer is enough.
            held.taken = True
            if held.task is not None:
                held.task.cancel()
        return False

    async def _enlist(self, job: Job) -> None:
        await self._shelf.enlist(tenant_key(job.tenant, self._secret), job.id, job.submitted_at)


def where(held: Held) -> Where:
    """Where a job lies."""
    return held.key, held.job.moves
