"""`candor.v1` over the Connect protocol, in JSON or protobuf, from the same handlers as over gRPC.

`POST /candor.v1.<Service>/<Method>` with `content-type: application/json` (or `application/proto`)
and the message as the body: what a browser can send, and curl. Methods that answer with a stream
take `application/connect+json` (or `+proto`): `connect_stream` has those.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor.errors import CandorError
from candor.wire.call import Call
from candor.wire.calls import Routes
from candor.wire.connect_messages import (
    HTTP,
    check_version,
    deadline_of,
    error_document,
    kind_of,
    read_message,
    word_of,
    write_message,
)
from candor.wire.connect_stream import STREAMED, ConnectStream
from candor.wire.http_frame import Handler, Rest
from candor.wire.offload import offloaded
from candor.wire.status import status_of

__all__ = ["connect_routes"]

_PROTO: Final = "application/proto"
_UNARY: Final = ("application/json", _PROTO)


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
        check_version(request)
        kind = kind_of(request)
        binary = kind == _PROTO
        message_type = GetMessageClass(self.described.input_type)
        read = partial(read_message, message_type, body, binary=binary)
        answer = await self.handle(await offloaded(read, large=call.large), call)
        write = partial(write_message, answer, binary=binary)
        return Response(await offloaded(write, large=call.large), media_type=kind)


def connect_routes(service: ServiceDescriptor, routes: Routes, rest: Rest) -> list[Route]:
    """One route for each method of a service."""
    return [
        Route(f"/{service.full_name}/{method.name}", _endpoint(method, routes, rest),
              methods=["POST"])
        for method in service.methods
    ]  # fmt: skip


def _endpoint(method: MethodDescriptor, routes: Routes, rest: Rest) -> Any:
    rpc = f"/{method.containing_service.full_name}/{method.name}"
    if method.client_streaming or method.name not in routes:
        return _unserved(rpc)
    run = routes[method.name]
    if method.server_streaming:
        stream = ConnectStream(GetMessageClass(method.input_type), run, rpc, rest)
        return _of_kind(STREAMED, stream.begin)
    handle: Handler = _Method(method, run)
    return _of_kind(_UNARY, rest.endpoint(handle, rpc, _refusal, deadline_of))


def _of_kind(kinds: tuple[str, ...], serve: Any) -> Any:
    async def answer(request: Request) -> Response:
        if kind_of(request) not in kinds:
            # The protocol wants this status here, and no body of its own.
            return Response(status_code=415, headers={"accept-post": ", ".join(kinds)})
        response: Response = await serve(request)
        return response

    return answer


def _unserved(rpc: str) -> Any:
    async def refuse(_: Request) -> Response:
        code = StatusCode.UNIMPLEMENTED
        message = f"{rpc} is not served over HTTP"
        return JSONResponse({"code": word_of(code), "message": message}, HTTP[code])

    return refuse


def _refusal(error: CandorError, request: str) -> Response:
    return JSONResponse(error_document(error, request), HTTP[status_of(error).code])
