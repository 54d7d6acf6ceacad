"""`candor.v1.JobService`: explanations that nobody stays on the line for."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError

from candor.engine.deadline import Deadline
from candor.engine.jobs.ledger import Jobs
from candor.engine.jobs.record import Job, checked_id, lost
from candor.engine.jobs.running import OnReport, Submission, patiently
from candor.engine.jobs.turnstile import Ticket
from candor.engine.request import ExplainRequest
from candor.engine.share import DEFAULT_PRIORITY, Share
from candor.errors import InvalidOption, NotFound, PermissionDenied
from candor.v1 import explanation_pb2, job_pb2
from candor.v1 import job_pb2 as pb
from candor.wire.call import Call, Frame, accounted, request_id
from candor.wire.callers import Caller
from candor.wire.calls import Routes, written
from candor.wire.drawings import Wish, draw_answers
from candor.wire.explanations import Explanations, progress_message, written_out
from candor.wire.jobs_messages import job_message, read_kept, write_kept
from candor.wire.offload import LARGE_BYTES, offloaded

__all__ = ["JobDesk"]

_RUN: Final = f"/{job_pb2.DESCRIPTOR.services_by_name['JobService'].full_name}/(run)"
"""As which the work of a job is logged; SubmitJob has long been answered."""
_CONNECTION: Final = "jobs"
"""All jobs of one caller have the share of one of its connections."""
_LISTED: Final = 100
_MOST_LISTED: Final = 1000
_MOST_WAIT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class JobDesk:
    """The handlers of the service: what Explain does, done by and by."""

    jobs: Jobs
    explanations: Explanations
    frame: Frame

    def routes(self) -> Routes:
        """Handler by name of the method."""
        return {
            "SubmitJob": self.submit,
            "GetJob": self.get,
            "WatchJob": self.watch,
            "CancelJob": self.cancel,
            "ListJobs": self.list,
        }

    async def submit(self, request: pb.SubmitJobRequest, call: Call) -> pb.SubmitJobResponse:
        """Take on an explanation, and answer before it runs."""
        job_id = checked_id(request.id)
        submission = await self._submission(job_id, request, call)
        assert call.model is not None, "reading has found it"  # noqa: S101
        job = await self.jobs.submit(call.caller.tenant, call.model, submission)
        return pb.SubmitJobResponse(job=job_message(job))

    async def revived(self, job: Job, kept: bytes) -> Submission:
        """What a server that died had been asked for, to be done here.

        Raises:
            CandorError: as Explain; of a caller whose key is gone, PermissionDenied.
        """
        message, name = await asyncio.to_thread(read_kept, kept)
        keys = self.frame.keys
        caller = Caller(name, job.tenant) if keys is None else keys.named(name)
        if caller.tenant != job.tenant:
            raise PermissionDenied(f"key '{name[:100]}' belongs to another tenant now")
        call = Call(request_id(None), Deadline(), Share(job.caller), caller, large=True)
        return await self._submission(job.id, message, call)

    async def _submission(
        self, job_id: str, request: pb.SubmitJobRequest, call: Call
    ) -> Submission:
        asked, wish = await self.explanations.read(request.explain, call)
        work = _work_call(request, call)
        # It is the work that is counted and timed, when it is done.
        methods, call.methods = call.methods, ()
        work.methods = methods
        packed = await offloaded(partial(_packed, request.explain), large=call.large)
        allowance = call.caller.allowance
        return Submission(
            id=job_id,
            digest=await offloaded(partial(self.jobs.digest, packed), large=call.large),
            size_bytes=len(packed),
            request=asked,
            ticket=Ticket(
                work.share.caller,
                work.share.priority,
                None if allowance is None else allowance.limits.concurrent,
            ),
            work=partial(self._run, request.explain, asked, wish, work),
            kept=write_kept(packed, request.priority, call.caller.name),
        )

    async def get(self, request: pb.GetJobRequest, call: Call) -> pb.GetJobResponse:
        """Say how a job stands, perhaps after having waited for its end."""
        tenant = call.caller.tenant
        await self._seen(request.id, call)
        if wait_s := _wait_s(request):
            with suppress(TimeoutError):
                async with (
                    asyncio.timeout(wait_s),
                    aclosing(self.jobs.watch(tenant, request.id)) as news,
                ):
                    async for _ in news:
                        pass
        job, answer = await self._fetch(request.id, call, omit=request.omit_answer)
        reports = self.jobs.reports(tenant, request.id) if request.partial else ()
        return pb.GetJobResponse(
            job=job_message(job), answer=answer, partial=map(progress_message, reports)
        )

    async def watch(
        self, request: pb.WatchJobRequest, call: Call
    ) -> AsyncGenerator[pb.WatchJobResponse, None]:
        """Tell of a job until it has ended."""
        await self._seen(request.id, call)
        async with aclosing(self.jobs.watch(call.caller.tenant, request.id)) as news:
            async for job in news:
                if not job.ended:
                    yield pb.WatchJobResponse(job=job_message(job))
        job, answer = await self._fetch(request.id, call, omit=request.omit_answer)
        yield pb.WatchJobResponse(job=job_message(job), answer=answer)

    async def cancel(self, request: pb.CancelJobRequest, call: Call) -> pb.CancelJobResponse:
        """Stop a job."""
        await self._seen(request.id, call)
        job = await self.jobs.cancel(call.caller.tenant, request.id)
        return pb.CancelJobResponse(job=job_message(job))

    async def list(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        """List the jobs of the caller's tenant, of models that it may use."""
        limit = request.limit or _LISTED
        if not 1 <= limit <= _MOST_LISTED:
            raise InvalidOption(f"limit is {request.limit}; expected 1 to {_MOST_LISTED}")
        jobs, whole = await self.jobs.list(call.caller.tenant, limit)
        shown = (job for job in jobs if call.caller.sees(job.model.name))
        return pb.ListJobsResponse(jobs=map(job_message, shown), incomplete=not whole)

    async def _run(
        self,
        request: explanation_pb2.ExplainRequest,
        asked: ExplainRequest,
        wish: Wish | None,
        call: Call,
        on_report: OnReport,
    ) -> bytes:
        """The work of a job: the bytes of what Explain would have answered."""
        call = replace(call, began_s=time.perf_counter())
        with accounted(call, _RUN, self.frame):
            call.handed()
            explain = partial(
                self.explanations.engine.explain,
                asked,
                Deadline(),
                on_report,
                call.share,
                patient=True,
            )
            explanation = await patiently(explain)
            call.returned(explanation)
            drawings = await draw_answers(explanation, asked.payload, wish)
            response = await written_out(request, explanation, drawings, call)
            return await written(response, call, self.frame)

    async def _seen(self, job_id: str, call: Call) -> Job:
        """A job of the caller's.

        Raises:
            NotFound: there is none, or it is of a model that the caller may not use.
        """
        job = await self.jobs.find(call.caller.tenant, job_id)
        if not call.caller.sees(job.model.name):
            raise NotFound(f"there is no job '{job_id[:80]}', or no longer")
        return job

    async def _fetch(
        self, job_id: str, call: Call, *, omit: bool
    ) -> tuple[Job, explanation_pb2.ExplainResponse | None]:
        if omit:
            return await self.jobs.find(call.caller.tenant, job_id), None
        job, answer = await self.jobs.fetch(call.caller.tenant, job_id)
        if answer is None:
            return job, None
        call.large = len(answer) > LARGE_BYTES
        try:
            read = partial(explanation_pb2.ExplainResponse.FromString, answer)
            return job, await offloaded(read, large=call.large)
        except DecodeError:
            return replace(job, state="lost", failure=lost("its answer cannot be read")), None


def _work_call(request: pb.SubmitJobRequest, call: Call) -> Call:
    """The call as which the work counts: the caller's own, without a deadline."""
    peer = replace(call.peer, connection=_CONNECTION, priority=request.priority or DEFAULT_PRIORITY)
    return Call(call.request_id, Deadline(), peer, call.caller, call.model, large=True)


def _packed(request: explanation_pb2.ExplainRequest) -> bytes:
    return request.SerializeToString(deterministic=True)


def _wait_s(request: pb.GetJobRequest) -> float:
    if not request.HasField("wait_ms"):
        return 0.0
    if not (math.isfinite(request.wait_ms) and 0 <= request.wait_ms <= _MOST_WAIT_MS):
        raise InvalidOption(f"wait_ms is {request.wait_ms}; expected 0 to {_MOST_WAIT_MS}")
    return request.wait_ms / 1000
