"""The one table from a kind of error to what a caller sees: gRPC code, HTTP status, retry hint.

Invariant: every kind in the error tree has a row (a test walks the tree), and what is not a
CandorError never reaches a caller with more than a request id.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import StatusCode

from candor.errors import CandorError, InvalidArgument, Overloaded, TooLarge

__all__ = ["STATUS", "Metadata", "Status", "details_of", "rich_details", "status_of", "trailers_of"]

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How a kind of error is told over gRPC and over HTTP."""

    code: StatusCode
    http: int


STATUS = MappingProxyType(
    {
        "invalid_argument": Status(StatusCode.INVALID_ARGUMENT, 400),
        "not_found": Status(StatusCode.NOT_FOUND, 404),
        "unsupported": Status(StatusCode.FAILED_PRECONDITION, 422),
        "unknown_compression": Status(StatusCode.UNIMPLEMENTED, 415),
        "invalid_model": Status(StatusCode.FAILED_PRECONDITION, 422),
        # What gRPC itself answers to a message over the limit.
        "too_large": Status(StatusCode.RESOURCE_EXHAUSTED, 413),
        "overloaded": Status(StatusCode.RESOURCE_EXHAUSTED, 429),
        "deadline_exceeded": Status(StatusCode.DEADLINE_EXCEEDED, 504),
        "cancelled": Status(StatusCode.CANCELLED, 499),
        "unavailable": Status(StatusCode.UNAVAILABLE, 503),
        "unauthenticated": Status(StatusCode.UNAUTHENTICATED, 401),
        "permission_denied": Status(StatusCode.PERMISSION_DENIED, 403),
        "internal": Status(StatusCode.INTERNAL, 500),
    }
)

_DOMAIN = "candor"
# After this time gRPC's clients try again by themselves; where it is negative, not at all. They
# would wait for an hour, too, and tell nobody.
_PUSHBACK, _NEVER = "grpc-retry-pushback-ms", "-1"
_PATIENCE_S = 10
# All trailers together must fit into the caller's limit on metadata, 8 KiB by default. gRPC writes
# three characters for each byte that is not ASCII, and the details repeat the message in base64.
_MAX_MESSAGE_BYTES = 3000
_MAX_DETAIL_BYTES = 1000


def status_of(error: CandorError) -> Status:
    """The row of an error's kind."""
    return STATUS[error.kind]


def details_of(error: CandorError, request_id: str) -> str:
    """The message for the caller; of an internal error only the request id."""
    if error.kind == "internal":
        return f"internal error; the server's log has the rest under request id {request_id}"
    # A JSON body may hold half of a surrogate pair, for which no protocol has bytes.
    message = error.message.encode(errors="replace").decode()
    return _clip(message, _MAX_MESSAGE_BYTES if message.isascii() else _MAX_MESSAGE_BYTES // 3)


def rich_details(error: CandorError, request_id: str) -> list[Message]:
    """What programs may read of an error: google.rpc messages."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.kind.upper(), domain=_DOMAIN, metadata={"error": type(error).__name__}
        ),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if isinstance(error, InvalidArgument):
        message = _clip(details_of(error, request_id), _MAX_DETAIL_BYTES)
        violation = error_details_pb2.BadRequest.FieldViolation(
            description=message, reason=type(error).__name__
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(_retry_after_ms(error))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def trailers_of(error: CandorError, request_id: str) -> Metadata:
    """Trailing metadata: the class of the error, a retry hint, and google.rpc details."""
    trailers: list[tuple[str, str | bytes]] = [
        ("candor-error", type(error).__name__),
        ("x-request-id", request_id),
    ]
    if isinstance(error, Overloaded):
        trailers.append(("candor-retry-after-ms", str(_retry_after_ms(error))))
        patient = error.retry_after_s <= _PATIENCE_S
        trailers.append((_PUSHBACK, str(_retry_after_ms(error)) if patient else _NEVER))
    if isinstance(error, TooLarge):
        # The same code, but it would be too large again.
        trailers.append((_PUSHBACK, _NEVER))
    message = _clip(details_of(error, request_id), _MAX_DETAIL_BYTES)
    rich = _rich(status_of(error).code, message, rich_details(error, request_id))
    trailers.append(("grpc-status-details-bin", rich))
    return tuple(trailers)


def _retry_after_ms(error: Overloaded) -> int:
    return max(0, math.ceil(error.retry_after_s * 1000))


def _rich(code: StatusCode, message: str, details: list[Message]) -> bytes:
    packed = []
    for detail in details:
        wrapper = any_pb2.Any()
        wrapper.Pack(detail)
        packed.append(wrapper)
    number: int = grpc.StatusCode[code.name].value[0]
    status = status_pb2.Status(code=number, message=message, details=packed)
    serialized: bytes = status.SerializeToString()
    return serialized


def _clip(text: str, n_bytes: int) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= n_bytes:
        return text
    return encoded[: n_bytes - 3].decode(errors="ignore") + "..."
