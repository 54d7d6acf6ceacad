"""Jobs as candor.v1 has them."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from candor.engine.jobs.record import ERRORS, Failure, Job, JobState
from candor.v1 import job_pb2 as pb
from candor.v1 import model_pb2
from candor.wire.status import STATUS

__all__ = ["job_message", "read_kept", "write_kept"]

_LENGTH: Final = 4

_STATES: Mapping[JobState, pb.JobState.ValueType] = MappingProxyType(
    {
        "queued": pb.JOB_STATE_QUEUED,
        "running": pb.JOB_STATE_RUNNING,
        "succeeded": pb.JOB_STATE_SUCCEEDED,
        "failed": pb.JOB_STATE_FAILED,
        "cancelled": pb.JOB_STATE_CANCELLED,
        "lost": pb.JOB_STATE_LOST,
    }
)
_INTERNAL = "internal error; the log of the server that ran it has the rest under the job's id"


def job_message(job: Job) -> pb.Job:
    """Write a job."""
    identity = job.model
    return pb.Job(
        id=job.id,
        state=_STATES[job.state],
        progress=job.progress,
        model=model_pb2.ModelId(
            name=identity.name, version=identity.version, digest=identity.digest
        ),
        methods=job.methods,
        submitted=_timestamp(job.submitted_at),
        started=_timestamp(job.started_at),
        ended=_timestamp(job.ended_at),
        expires=_timestamp(job.expires_at),
        error=None if job.failure is None else _error(job.failure),
    )


def _error(failure: Failure) -> pb.JobError:
    kind = ERRORS[failure.name].kind
    message = _INTERNAL if kind == "internal" else failure.message
    return pb.JobError(code=STATUS[kind].code.name, name=failure.name, message=message)


def _timestamp(seconds: float | None) -> Timestamp | None:
    if seconds is None:
        return None
    made = Timestamp()
    made.FromMicroseconds(int(seconds * 1e6))
    return made


def write_kept(explain: bytes, priority: int, key: str) -> bytes:
    """What another server needs to do a job.

    Args:
        explain: the request, as its message.
        priority: of the submission.
        key: the name of the caller's; "" where none was asked for.
    """
    head = json.dumps({"key": key, "priority": priority}).encode()
    return len(head).to_bytes(_LENGTH, "little") + head + explain


def read_kept(kept: bytes) -> tuple[pb.SubmitJobRequest, str]:
    """The submission, and the name of the caller's key; what this deployment wrote, by its seal."""
    end = _LENGTH + int.from_bytes(kept[:_LENGTH], "little")
    head = json.loads(kept[_LENGTH:end])
    request = pb.SubmitJobRequest(priority=head["priority"])
    request.explain.ParseFromString(kept[end:])
    return request, head["key"]
