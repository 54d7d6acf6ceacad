"""What unary calls and streams over Connect share: messages, the deadline, errors."""

import base64
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode
from starlette.requests import Request

from candor.engine.deadline import Deadline
from candor.errors import CandorError, InvalidArgument
from candor.wire.status import details_of, rich_details, status_of

__all__ = ["HTTP", "check_version", "deadline_of", "error_document", "kind_of", "read_message",
           "word_of", "write_message"]  # fmt: skip

# Connect's own table, which differs from ours where a status would mean something else to proxies.
HTTP: Final[Mapping[StatusCode, int]] = MappingProxyType(
    {
        StatusCode.CANCELLED: 499,
        StatusCode.INVALID_ARGUMENT: 400,
        StatusCode.DEADLINE_EXCEEDED: 504,
        StatusCode.UNAUTHENTICATED: 401,
        StatusCode.PERMISSION_DENIED: 403,
        StatusCode.NOT_FOUND: 404,
        StatusCode.RESOURCE_EXHAUSTED: 429,
        StatusCode.FAILED_PRECONDITION: 400,
        StatusCode.UNIMPLEMENTED: 501,
        StatusCode.INTERNAL: 500,
        StatusCode.UNAVAILABLE: 503,
    }
)


def kind_of(request: Request) -> str:
    """The type of a request's body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_version(request: Request) -> None:
    """Check what the caller says of the protocol.

    Raises:
        InvalidArgument: it is another version.
    """
    version = request.headers.get("connect-protocol-version", "1")
    if version != "1":
        raise InvalidArgument(f"connect-protocol-version is '{version[:40]}'; expected 1")


def read_message(message_type: type[Message], body: bytes, *, binary: bool) -> Message:
    """Read a message.

    Raises:
        InvalidArgument: it is none.
    """
    name = message_type.DESCRIPTOR.name
    try:
        if binary:
            return message_type.FromString(body)
        return json_format.Parse(body or b"{}", message_type())
    except (json_format.ParseError, DecodeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body is not a valid {name}: {error}") from error


def write_message(message: Message, *, binary: bool) -> bytes:
    """Write a message."""
    if binary:
        return message.SerializeToString()
    text: str = json_format.MessageToJson(message, indent=None)
    return text.encode()


def deadline_of(request: Request) -> Deadline:
    """When the caller stops waiting.

    Raises:
        InvalidArgument: what it says is no time.
    """
    given = request.headers.get("connect-timeout-ms")
    if given is None:
        return Deadline()
    if not (given.isascii() and given.isdecimal() and len(given) <= 10):
        raise InvalidArgument(
            f"connect-timeout-ms is '{given[:40]}'; expected milliseconds, at most ten digits"
        )
    return Deadline.after(int(given) / 1000)


def error_document(error: CandorError, request_id: str) -> dict[str, Any]:
    """An error as Connect writes it."""
    details = [
        {
            "type": detail.DESCRIPTOR.full_name,
            "value": base64.b64encode(detail.SerializeToString()).decode().rstrip("="),
        }
        for detail in rich_details(error, request_id)
    ]
    code = word_of(status_of(error).code)
    return {"code": code, "message": details_of(error, request_id), "details": details}


def word_of(code: StatusCode) -> str:
    """Connect's name of a code."""
    return "canceled" if code is StatusCode.CANCELLED else code.name.lower()
