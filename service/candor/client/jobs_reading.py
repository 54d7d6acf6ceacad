"""Jobs as the client has them, and the messages that they are read from and asked by."""

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from candor import errors
from candor.client.answers import Explanation
from candor.client.asking import Asking, Methods, explain_request
from candor.client.failures import named
from candor.client.reading import read_explanation, read_identity
from candor.errors import CandorError, DeadlineExceeded, InternalError
from candor.result import ModelId
from candor.v1 import explanation_pb2
from candor.v1 import job_pb2 as pb

__all__ = ["RECONNECTS", "JobState", "JobStatus", "again_s", "answer_of", "left_s", "read_status",
           "still", "submit_request"]  # fmt: skip

JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]

_STATES: Mapping[int, JobState] = MappingProxyType(
    {
        pb.JOB_STATE_QUEUED: "queued",
        pb.JOB_STATE_RUNNING: "running",
        pb.JOB_STATE_SUCCEEDED: "succeeded",
        pb.JOB_STATE_FAILED: "failed",
        pb.JOB_STATE_CANCELLED: "cancelled",
        pb.JOB_STATE_LOST: "lost",
    }
)

RECONNECTS: Final = 6
"""How often in a row a server that does not answer is asked for a job again."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stood when the server was asked.

    Attributes:
        state: `queued`, `running`, or how it ended: `succeeded`, `failed`, `cancelled`, `lost`.
        progress: 0..1; 1 only with the answer.
        methods: names of what it explains by.
        started, ended, expires: None before its beginning, or its end.
        error: why it has no answer; None where it has one, or may still have.
    """

    id: str
    state: JobState
    progress: float
    model: ModelId
    methods: tuple[str, ...]
    submitted: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None
    error: CandorError | None

    @property
    def done(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in ("queued", "running")


def submit_request(
    model: str, methods: Methods, asking: Asking, job_id: str, priority: int
) -> pb.SubmitJobRequest:
    """Write a submission; under an id in any case, so that it may be sent twice."""
    explain = explain_request(model, methods, asking)
    return pb.SubmitJobRequest(explain=explain, id=job_id or uuid.uuid4().hex, priority=priority)


def read_status(message: pb.Job) -> JobStatus:
    """Read a job."""
    return JobStatus(
        id=message.id,
        state=_STATES.get(message.state, "failed"),
        progress=message.progress,
        model=read_identity(message.model),
        methods=tuple(message.methods),
        submitted=_time(message.submitted),
        started=_time_or_none(message, "started"),
        ended=_time_or_none(message, "ended"),
        expires=_time_or_none(message, "expires"),
        error=_error(message.error) if message.HasField("error") else None,
    )


def answer_of(status: JobStatus, message: explanation_pb2.ExplainResponse) -> Explanation:
    """The answer of a job that has ended.

    Raises:
        CandorError: it has none, as Explain would have raised it.
    """
    if status.error is not None:
        raise status.error
    if status.state != "succeeded":
        raise InternalError(f"job '{status.id}' has {status.state} without a reason")
    return read_explanation(message)


def left_s(until: float | None) -> float | None:
    """What is left until an instant on the monotonic clock; None where there is none."""
    return None if until is None else max(0.0, until - time.monotonic())


def still(status: JobStatus, timeout_s: float | None) -> CandorError | None:
    """What is raised when somebody has waited long enough; None where the job itself ended so."""
    if status.done or timeout_s is None:
        return None
    return DeadlineExceeded(
        f"job '{status.id}' is {status.state} after {timeout_s:g} s; it goes on, and can be waited "
        "for again"
    )


def again_s(
    status: JobStatus, failures: int, until: float | None, timeout_s: float | None
) -> float | None:
    """How long to wait after so many failures in a row; None where it is no use.

    Raises:
        DeadlineExceeded: the time is over.
    """
    if status.done or failures > RECONNECTS:
        return None
    pause, left = min(4.0, 0.25 * math.pow(2.0, failures)), left_s(until)
    if left == 0 and (late := still(status, timeout_s)) is not None:
        raise late
    return pause if left is None else min(pause, left)


def _error(error: pb.JobError) -> CandorError:
    kind = named(error.name)
    if kind is errors.Overloaded:
        return errors.Overloaded(error.message, 1.0)
    return (kind or InternalError)(error.message)


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _time_or_none(message: Message, field: str) -> datetime | None:
    return _time(getattr(message, field)) if message.HasField(field) else None
