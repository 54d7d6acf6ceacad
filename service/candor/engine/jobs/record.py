"""What is known of a job, and under which key."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from blake3 import blake3

from candor import errors
from candor.errors import CandorError, InvalidOption
from candor.result import ModelId

__all__ = ["ENDED", "ERRORS", "STATES", "Failure", "Job", "JobState", "checked_id", "failure_of",
           "job_key", "lost", "tenant_key"]  # fmt: skip

JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]

STATES: Final[tuple[JobState, ...]] = (
    "queued", "running", "succeeded", "failed", "cancelled", "lost",
)  # fmt: skip
ENDED: Final[frozenset[JobState]] = frozenset({"succeeded", "failed", "cancelled", "lost"})

ERRORS: Final[Mapping[str, type[CandorError]]] = MappingProxyType(
    {name: getattr(errors, name) for name in errors.__all__}
)
"""By name, as records have them."""

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no answer.

    Attributes:
        name: of the error's class.
        message: for the caller; empty where the error is candor's own.
    """

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands; times are seconds since 1970.

    Attributes:
        id: among those of the tenant.
        digest: of the request, keyed and hexadecimal.
        server: the process that runs it, or ran it.
        progress: 0..1; 1 only with the answer.
        expires_at: until when it is kept, once it has ended.
        caller: whose turn it takes, and whose share.
        deaths: how many servers died while they ran it.
        moves: how often it was put elsewhere because whoever kept it did not answer; which of its
            records holds, and at which of its places that is.
    """

    id: str
    tenant: str
    digest: str
    server: str
    model: ModelId
    methods: tuple[str, ...]
    submitted_at: float
    state: JobState = "queued"
    progress: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    failure: Failure | None = None
    caller: str = ""
    deaths: int = 0
    moves: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED


def checked_id(given: str) -> str:
    """An id that a caller chose, or one of ours where it is empty.

    Raises:
        InvalidOption: what cannot be one.
    """
    if not given:
        return secrets.token_hex(16)
    if _ID.fullmatch(given) is None:
        raise InvalidOption(
            f"the job's id is '{given[:80]}'; expected 1 to 64 letters, digits and ._- characters"
        )
    return given


def job_key(tenant: str, job_id: str, secret: bytes) -> str:
    """Where a job is kept: nobody finds one by its id alone; 64 hexadecimal digits."""
    return _keyed(secret, "job", tenant, job_id)


def tenant_key(tenant: str, secret: bytes) -> str:
    """Where it is kept which jobs a tenant has; 64 hexadecimal digits."""
    return _keyed(secret, "jobs of", tenant)


def failure_of(error: CandorError) -> Failure:
    """What is kept of an error; of one of candor's own nothing that it says."""
    return Failure(type(error).__name__, "" if error.kind == "internal" else error.message[:2000])


def lost(why: str) -> Failure:
    """What is said of a job that nobody works on, and that has no answer."""
    return Failure("Unavailable", f"{why}; submitted again under the same id, it starts anew")


def _keyed(secret: bytes, *parts: str) -> str:
    hasher = blake3(key=secret)
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
    return str(hasher.hexdigest())
