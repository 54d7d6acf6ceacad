"""From gRPC's errors back to candor's own, with the server's message."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import grpc
from grpc import StatusCode

from candor import errors

__all__ = ["named", "translating"]

_BY_CODE: Mapping[StatusCode, type[errors.CandorError]] = MappingProxyType(
    {
        StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
        StatusCode.NOT_FOUND: errors.NotFound,
        StatusCode.FAILED_PRECONDITION: errors.Unsupported,
        # Without a name of ours it is gRPC that refused the message's size.
        StatusCode.RESOURCE_EXHAUSTED: errors.TooLarge,
        StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
        StatusCode.CANCELLED: errors.Cancelled,
        StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
        StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
        StatusCode.UNAVAILABLE: errors.Unavailable,
        StatusCode.UNIMPLEMENTED: errors.Unsupported,
    }
)
_BY_NAME: Mapping[str, type[errors.CandorError]] = MappingProxyType(
    # UnsupportedOperator wants its parts, which do not travel.
    {name: getattr(errors, name) for name in errors.__all__}
    | {"UnsupportedOperator": errors.Unsupported}
)


@contextmanager
def translating() -> Iterator[None]:
    """Have the block's calls raise the errors that the server raised, or the nearest to them."""
    try:
        yield
    except grpc.RpcError as error:
        raise _translated(error) from error


def named(name: str) -> type[errors.CandorError] | None:
    """The error of a name that the server gave; None where this client does not know it."""
    return _BY_NAME.get(name)


def _translated(error: grpc.RpcError) -> errors.CandorError:
    call: Any = error
    message = call.details() or "the call failed without a message"
    if "larger than max" in message:
        message = f"{message}; the server's limit is its setting max_message_bytes"
    trailers = _texts(call.trailing_metadata() or ())
    kind = named(trailers.get("candor-error", "")) or _BY_CODE.get(
        call.code(), errors.InternalError
    )
    if kind is errors.Overloaded:
        after_ms = trailers.get("candor-retry-after-ms", "")
        return errors.Overloaded(message, int(after_ms) / 1000 if after_ms.isdigit() else 1.0)
    return kind(message)


def _texts(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    return {key: value for key, value in metadata if isinstance(value, str)}
