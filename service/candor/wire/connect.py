"""`candor.v1` over the Connect protocol: unary calls, in JSON or protobuf, from the same handlers.

`POST /candor.v1.<Service>/<Method>` with `content-type: application/json` (or `application/proto`)
and the message as the body: what a browser can send, and curl. Methods that stream are gRPC's.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor.engine.deadline import Deadline
from candor.errors import CandorError, InvalidArgument
from candor.wire.call import Call
from candor.wire.calls import Routes
from candor.wire.http_frame import Handler, Rest
from candor.wire.offload import offloaded
from candor.wire.status import details_of, rich_details, status_of

__all__ = ["connect_routes"]

_JSON: Final = "application/json"
_PROTO: Final = "application/proto"

# Connect's own table, which differs from ours where a status would mean something else to proxies.
_HTTP: Mapping[StatusCode, int] = MappingProxyType(
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


@dataclass(frozen=True, slots=True)
class _Method:
    """One unary method: its messages and its handler."""

    described: MethodDescriptor
    handle: Any

    async def __call__(self, request: Request, body: bytes, call: Call) -> Response:
        """Read, handle, write, in the caller's encoding.

        Raises:
            InvalidArgument: the body is no such message.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        version = request.headers.get("connect-protocol-version", "1")
        if version != "1":
            raise InvalidArgument(f"connect-protocol-version is '{version[:40]}'; expected 1")
        message_type = GetMessageClass(self.described.input_type)
        read = partial(_read, message_type, body, kind)
        answer = await self.handle(await offloaded(read, large=call.large), call)
        content = await offloaded(partial(_write, answer, kind), large=call.large)
        return Response(content, media_type=kind)


def connect_routes(service: ServiceDescriptor, routes: Routes, rest: Rest) -> list[Route]:
    """One route for each method of a service."""
    return [
        Route(f"/{service.full_name}/{method.name}", _endpoint(method, routes, rest),
              methods=["POST"])
        for method in service.methods
    ]  # fmt: skip


def _endpoint(method: MethodDescriptor, routes: Routes, rest: Rest) -> Any:
    rpc = f"/{method.containing_service.full_name}/{method.name}"
    handle: Handler = _Method(method, routes.get(method.name))
    serve = rest.endpoint(handle, rpc, _refusal, _deadline)

    async def answer(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if method.client_streaming or method.server_streaming or method.name not in routes:
            return _page(
                StatusCode.UNIMPLEMENTED, f"{rpc} streams, which is served over gRPC only", []
            )
        if kind not in (_JSON, _PROTO):
            # The protocol wants this status here, and no body of its own.
            return Response(status_code=415, headers={"accept-post": f"{_JSON}, {_PROTO}"})
        return await serve(request)

    return answer


def _read(message_type: type[Message], body: bytes, kind: str) -> Message:
    name = message_type.DESCRIPTOR.name
    try:
        if kind == _PROTO:
            return message_type.FromString(body)
        return json_format.Parse(body or b"{}", message_type())
    except (json_format.ParseError, DecodeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body is not a valid {name}: {error}") from error


def _write(message: Message, kind: str) -> bytes:
    if kind == _PROTO:
        return message.SerializeToString()
    text: str = json_format.MessageToJson(message, indent=None)
    return text.encode()


def _deadline(request: Request) -> Deadline:
    given = request.headers.get("connect-timeout-ms")
    if given is None:
        return Deadline()
    if not (given.isascii() and given.isdecimal() and len(given) <= 10):
        raise InvalidArgument(
            f"connect-timeout-ms is '{given[:40]}'; expected milliseconds, at most ten digits"
        )
    return Deadline.after(int(given) / 1000)


def _refusal(error: CandorError, request: str) -> Response:
    code = status_of(error).code
    return _page(code, details_of(error, request), rich_details(error, request))


def _page(code: StatusCode, message: str, details: list[Message]) -> Response:
    word = "canceled" if code is StatusCode.CANCELLED else code.name.lower()
    document: dict[str, Any] = {"code": word, "message": message}
    if details:
        document["details"] = [
            {
                "type": detail.DESCRIPTOR.full_name,
                "value": base64.b64encode(detail.SerializeToString()).decode().rstrip("="),
            }
            for detail in details
        ]
    return JSONResponse(document, _HTTP[code])
