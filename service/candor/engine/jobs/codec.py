"""Jobs and their answers as bytes for Redis; what comes back is read as a stranger's.

a record: sealed (magic "CNDJ"): JSON
an answer: sealed (magic "CNDA"): the bytes of its message
a request: sealed (magic "CNDQ"): what the wire makes of it, for another server to do it
"""

import dataclasses
import json
import math
from typing import Any, Final

from candor.engine.jobs.record import ENDED, ERRORS, STATES, Failure, Job
from candor.engine.sealed import Malformed, seal, unseal
from candor.errors import InternalError
from candor.result import ModelId

__all__ = ["SCHEMA", "decode_answer", "decode_job", "decode_request", "encode_answer", "encode_job",
           "encode_request"]  # fmt: skip

SCHEMA: Final = 3
"""Version of all formats; another version is another world."""

_RECORD: Final = (b"CNDJ", SCHEMA)
_ANSWER: Final = (b"CNDA", SCHEMA)
_REQUEST: Final = (b"CNDQ", SCHEMA)
_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Job))


def encode_job(job: Job, key: str, secret: bytes) -> bytes:
    """Write a record."""
    plain = json.dumps(dataclasses.asdict(job), allow_nan=False).encode()
    sealed = seal(plain, _RECORD, key, secret)
    if sealed is None:
        raise InternalError(f"the record of job '{job.id}' is too large to be kept")
    return sealed


def decode_job(data: bytes, key: str, secret: bytes) -> Job | Malformed:
    """Read a record; never raises, whatever the bytes are."""
    plain = unseal(data, _RECORD, key, secret)
    if isinstance(plain, Malformed):
        return plain
    try:
        job = _job(json.loads(plain))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Malformed("damaged")
    return job if _sound(job) else Malformed("damaged")


def encode_answer(answer: bytes, key: str, secret: bytes) -> bytes | None:
    """Write an answer; None where it is too large to be kept."""
    return seal(answer, _ANSWER, key, secret)


def decode_answer(data: bytes, key: str, secret: bytes) -> bytes | Malformed:
    """Read an answer; never raises, whatever the bytes are."""
    return unseal(data, _ANSWER, key, secret)


def encode_request(request: bytes, key: str, secret: bytes) -> bytes | None:
    """Write a request; None where it is too large to be kept."""
    return seal(request, _REQUEST, key, secret)


def decode_request(data: bytes, key: str, secret: bytes) -> bytes | Malformed:
    """Read a request; never raises, whatever the bytes are."""
    return unseal(data, _REQUEST, key, secret)


def _job(header: dict[str, Any]) -> Job:
    if set(header) != _FIELDS:
        raise ValueError(sorted(header))
    failure = header["failure"]
    model, methods = header["model"], header["methods"]
    return Job(
        **{
            **header,
            "model": ModelId(model["name"], model["version"], model["digest"]),
            "methods": tuple(methods),
            "failure": None if failure is None else Failure(failure["name"], failure["message"]),
        }
    )


def _sound(job: Job) -> bool:
    failure = job.failure
    texts = (job.id, job.tenant, job.digest, job.server, job.caller, *job.methods)
    texts += (job.model.name, job.model.version, job.model.digest)
    return (
        all(type(text) is str for text in texts)
        and job.state in STATES
        and _is_time(job.submitted_at)
        and all(time is None or _is_time(time) for time in (job.started_at, job.ended_at))
        and (job.expires_at is None or _is_time(job.expires_at))
        and (job.state not in ENDED or (job.ended_at is not None and job.expires_at is not None))
        and _is_number(job.progress, 1)
        and type(job.deaths) is int
        and _is_number(job.deaths, 1000)
        and type(job.moves) is int
        and _is_number(job.moves, 2**53)
        and (failure is None or (failure.name in ERRORS and type(failure.message) is str))
    )


def _is_time(value: object) -> bool:
    return _is_number(value, 2**37)  # what a timestamp of protobuf can hold, by far


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= most
