"""One job from its turn to its end: what it does, how far it is, how it ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from candor.engine.jobs.memory import Held, Memory
from candor.engine.jobs.record import Failure, JobState, failure_of, lost
from candor.engine.jobs.turnstile import Ticket, Turnstile
from candor.engine.predicting import n_rows
from candor.engine.request import ExplainRequest, Report
from candor.errors import CandorError, InternalError, Overloaded, Unavailable
from candor.explain.parse import method_name

__all__ = ["OnReport", "Submission", "patiently", "run_job"]

_LOG = logging.getLogger("candor.jobs")

T = TypeVar("T")

OnReport: TypeAlias = Callable[[Report], None]
Work: TypeAlias = Callable[[OnReport], Awaitable[bytes]]

_CANCELLED: Final = Failure("Cancelled", "the job was cancelled")
_STOPPED: Final = "the server that had it was stopped before it was done"
_UNFINISHED: Final = 0.999


@dataclass(frozen=True, slots=True)
class Submission:
    """What is asked for.

    Attributes:
        id: of the caller's choice, or of ours.
        digest: of the request as it came: the same for the same.
        size_bytes: of the request.
        request: to tell how far its work is.
        ticket: whose turn it is.
        work: does it: the answer's bytes.
        kept: from which another server makes the same of it; None where it cannot.
    """

    id: str
    digest: str
    size_bytes: int
    request: ExplainRequest
    ticket: Ticket
    work: Work
    kept: bytes | None = None


async def run_job(
    held: Held,
    asking: Callable[[], Awaitable[Submission]],
    memory: Memory,
    turnstile: Turnstile,
    alone: asyncio.Lock | None = None,
) -> None:
    """Wait for the job's turn, do its work, and note how that ended; raises nothing.

    Where another server is to go on with it, or does already, it is left as it is.

    Args:
        held: the job.
        asking: what is asked for.
        memory: notes what becomes of it.
        turnstile: whose turn it is.
        alone: held by the one of its kind that may run; None: it is of no kind.
    """
    try:
        asked = await asking()
        note = partial(_note, held, _n_answers(asked.request))
        async with alone or nullcontext(), turnstile.turn(asked.ticket):
            memory.change(held, "running")
            memory.change(held, "succeeded", answer=await asked.work(note))
    except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the job ends with it
        if held.taken or (held.stopping and held.resumable):
            return
        state, why = _end(error, stopping=held.stopping)
        memory.change(held, state, why=why)
    _LOG.info("job ended", extra={"job": held.job.id, "state": held.job.state})


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is room: nobody waits on the line, so a job comes later and not never."""
    while True:
        try:
            return await ask()
        except Overloaded as error:
            await asyncio.sleep(error.retry_after_s)


def _note(held: Held, n_answers: int, news: Report) -> None:
    """Note how far one answer is; a job never goes back."""
    place = (news.method, news.row, news.target)
    before = held.reports.get(place)
    if held.job.ended or (before is not None and before.progress >= news.progress):
        return
    if before is not None and news.partial is None:
        news = replace(news, partial=before.partial)
    held.reports[place] = news
    done = sum(each.progress for each in held.reports.values()) / n_answers
    # One that another server began tells of more when it is farther than that was.
    progress = max(held.job.progress, min(done, _UNFINISHED))
    held.job = replace(held.job, progress=progress)


def _end(error: BaseException, *, stopping: bool) -> tuple[JobState, Failure]:
    """How a job ends by an error."""
    # The house says that it is unavailable when it stops.
    if stopping or isinstance(error, Unavailable):
        return "lost", lost(_STOPPED)
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", _CANCELLED
    if not isinstance(error, CandorError):
        _LOG.error("internal error", exc_info=error)
        error = InternalError(str(error))
    return "failed", failure_of(error)


def _n_answers(request: ExplainRequest) -> int:
    """How many places there will be reports of; at least 1."""
    n_methods = len({method_name(options) for options in request.methods})
    n_targets = [len(of_row) or 1 for of_row in request.targets]
    if len(n_targets) > 1:
        return n_methods * sum(n_targets)
    return n_methods * (n_targets[0] if n_targets else 1) * max(1, n_rows(request.payload))
