"""Jobs over an engine of a few lines of numpy, with and without a Redis."""

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from candor.engine.deadline import Deadline
from candor.engine.jobs.asker import Asker
from candor.engine.jobs.docket import Docket
from candor.engine.jobs.keeper import Keeper
from candor.engine.jobs.ledger import Jobs
from candor.engine.jobs.lives import Kept
from candor.engine.jobs.memory import Bounds, Memory
from candor.engine.jobs.reader import Reader
from candor.engine.jobs.running import Submission, patiently
from candor.engine.jobs.shelf import Shelf
from candor.engine.jobs.turnstile import Ticket
from candor.engine.redis_client import open_redis
from candor.engine.share import Share
from candor.explain.options import IntegratedGradients
from unit.engine.builders import IDENTITY, SECRET, Rig, explain_request, rows

__all__ = ["BOUNDS", "SLICES", "ask", "ended", "job_house", "long_request", "revived",
           "submission"]  # fmt: skip

BOUNDS = Bounds(jobs=8, size_bytes=1 << 20, ttl_s=60.0)
SLICES = 900


@asynccontextmanager
async def job_house(
    built: Rig,
    url: str = "",
    *,
    bounds: Bounds = BOUNDS,
    slots: int = 1,
    lost_s: float = 60.0,
    drain_s: float = 0.0,
    timeout_s: float = 30.0,
    inherits: bool = True,
) -> AsyncIterator[Jobs]:
    """The jobs of one replica; drained at the end, unless the block did."""
    memory = Memory(bounds, built.metrics)
    kept = None
    if url:
        client = open_redis(url, timeout_s)
        asker = Asker(client, timeout_s=timeout_s)
        shelf = Shelf(asker, namespace="tests", ttl_s=bounds.ttl_s)
        docket = Docket(asker, namespace="tests")
        reader = Reader(shelf, docket, built.metrics, SECRET)
        keeper = Keeper(shelf, docket, memory, reader, secret=SECRET, lost_s=lost_s)
        kept = Kept(shelf, docket, reader, keeper)
    jobs = Jobs(memory, kept, built.metrics, slots=slots, secret=SECRET)
    if inherits:
        jobs.inherit(partial(revived, jobs, built))
    try:
        yield jobs
    finally:
        await jobs.drain(drain_s)
        await jobs.close()


def long_request(seed=0, n_slices=SLICES, **changes):
    """One explanation of many slices of ten rows each."""
    return explain_request(IntegratedGradients(10 * n_slices), x=rows(1, seed), **changes)


async def revived(jobs: Jobs, built: Rig, job, kept):
    """What the wire makes of what was kept: here, the very request."""
    request = pickle.loads(kept)  # noqa: S301 - it is the test's own
    return submission(jobs, built, request, job.id, job.caller)


def submission(
    jobs: Jobs, built: Rig, request=None, job_id="job", caller="", priority=2, **changes
):
    """What the wire makes of a request; its answer is the bytes of all values."""
    request = explain_request() if request is None else request

    async def work(on_report):
        share = Share(caller, "jobs", priority)
        explain = partial(built.engine.explain, request, Deadline(), on_report, share, patient=True)
        explanation = await patiently(explain)
        answers = [answer for method in explanation.answers for row in method for answer in row]
        return b"".join(answer.attribution.values.tobytes() for answer in answers)

    packed = pickle.dumps(request)
    fields = {
        "id": job_id,
        "digest": jobs.digest(packed),
        "size_bytes": len(packed),
        "request": request,
        "ticket": Ticket(caller, priority),
        "work": work,
        "kept": packed,
    }
    return Submission(**(fields | changes))


async def ask(jobs: Jobs, built: Rig, tenant="", **how):
    """Submit a job."""
    return await jobs.submit(tenant, IDENTITY, submission(jobs, built, **how))


async def ended(jobs: Jobs, job_id="job", tenant=""):
    """A job as it ended."""
    async with asyncio.timeout(60):
        return [job async for job in jobs.watch(tenant, job_id)][-1]
