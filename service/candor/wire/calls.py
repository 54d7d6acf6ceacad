"""The frame of every RPC of ours: parse, request id, deadline, errors, access log, metrics.

A handler is a plain coroutine `(request, call) -> response` (or an async generator), so that
another front door can call it as well. Messages are parsed here and not by gRPC, which would answer
an undecodable one with INTERNAL; a caller's mistake is INVALID_ARGUMENT. Where the caller streams,
the handler gets and gives bytes: one bad message is its own failure, not the stream's.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from typing_extensions import override

from candor.engine.deadline import Deadline
from candor.errors import CandorError, InvalidArgument, TooLarge
from candor.wire.admission import admitted, identify
from candor.wire.call import Call, Frame, accounted, request_id, server_timing
from candor.wire.offload import LARGE_BYTES, offloaded
from candor.wire.peers import grpc_share
from candor.wire.status import details_of, status_of, trailers_of

__all__ = ["Call", "Context", "Frame", "Routes", "Unserved", "parsed", "refuse",
           "service_handler", "written"]  # fmt: skip

M = TypeVar("M", bound=Message)

# Quoted: these are generic to the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

# The request's type is known to the route and to the handler, not to the table between them.
Handler: TypeAlias = Callable[[Any, Call], Awaitable[Message]]
StreamHandler: TypeAlias = Callable[[Any, Call], AsyncGenerator[Message, None]]
BytesHandler: TypeAlias = Callable[[AsyncIterator[bytes], Call], AsyncGenerator[bytes, None]]
_UNLIMITED: Final = nullcontext()

Routes: TypeAlias = Mapping[str, Handler | StreamHandler | BytesHandler]


def service_handler(
    name: str, service: ServiceDescriptor, routes: Routes, frame: Frame
) -> grpc.GenericRpcHandler:
    """Serve a service's methods under a name of our choice.

    A method without a route answers UNIMPLEMENTED.
    """
    return grpc.method_handlers_generic_handler(
        name,
        {
            method.name: _served(f"/{name}/{method.name}", method, routes[method.name], frame)
            if method.name in routes
            else _unserved(f"/{name}/{method.name}", "it is no more than described")
            for method in service.methods
        },
    )


async def parsed(request_type: type[M], payload: bytes, call: Call) -> M:
    """Read a message, in a thread where it is large.

    Raises:
        InvalidArgument: it is none.
    """
    call.large = len(payload) > LARGE_BYTES
    return await offloaded(partial(_parse, request_type, payload), large=call.large)


async def written(response: Message, call: Call, frame: Frame) -> bytes:
    """Write a message, in a thread where it is large.

    Raises:
        TooLarge: it is over the limit.
    """
    return await offloaded(partial(_written, response, frame), large=call.large)


def _served(
    rpc: str, method: MethodDescriptor, handler: Any, frame: Frame
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    # Without serialisers gRPC hands the bytes through.
    request_type = GetMessageClass(method.input_type)
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(_both(rpc, handler, frame))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(rpc, request_type, handler, frame))
    return grpc.unary_unary_rpc_method_handler(_unary(rpc, request_type, handler, frame))


def _unary(rpc: str, request_type: type[Message], handler: Handler, frame: Frame) -> Any:
    async def serve(payload: bytes, context: Context) -> bytes:
        call = _arrived(context)
        try:
            await frame.gate.enter()
            with _framed(call, rpc, context, frame):
                response = await handler(await parsed(request_type, payload, call), call)
                return await written(response, call, frame)
        except CandorError as error:
            return await refuse(error, call.request_id, context)

    return serve


def _stream(rpc: str, request_type: type[Message], handler: StreamHandler, frame: Frame) -> Any:
    async def serve(payload: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        call = _arrived(context)
        try:
            await frame.gate.enter()
            with _framed(call, rpc, context, frame):
                request = await parsed(request_type, payload, call)
                async with aclosing(handler(request, call)) as responses:
                    async for response in responses:
                        yield await written(response, call, frame)
        except CandorError as error:
            await refuse(error, call.request_id, context)

    return serve


def _both(rpc: str, handler: BytesHandler, frame: Frame) -> Any:
    async def serve(
        payloads: AsyncIterator[bytes], context: Context
    ) -> AsyncGenerator[bytes, None]:
        call = _arrived(context)
        try:
            await frame.gate.enter()
            # Of a stream each message counts, for itself.
            with _framed(call, rpc, context, frame, counts=False):
                async with aclosing(handler(payloads, call)) as answers:
                    async for answer in answers:
                        yield answer
        except CandorError as error:
            await refuse(error, call.request_id, context)

    return serve


class Unserved(grpc.GenericRpcHandler):
    """Says of methods of a service that nobody else serves, in words, that they are not served."""

    def __init__(self, name: str, hint: str) -> None:
        """Stand in for what is missing.

        Args:
            name: of the service.
            hint: what to do instead.
        """
        self._prefix = f"/{name}/"
        self._hint = hint

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        rpc = handler_call_details.method
        if not rpc.startswith(self._prefix):
            return None
        return _unserved(rpc[:200], self._hint)


def _unserved(rpc: str, hint: str) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def refuse(_: object, context: Context) -> None:
        await context.abort(StatusCode.UNIMPLEMENTED, f"candor does not serve {rpc}; {hint}")

    return grpc.stream_stream_rpc_method_handler(refuse)


def _parse(request_type: type[M], payload: bytes) -> M:
    try:
        return request_type.FromString(payload)
    except DecodeError as error:
        name = request_type.DESCRIPTOR.name
        raise InvalidArgument(f"the request is not a valid {name} message: {error}") from error


def _written(response: Message, frame: Frame) -> bytes:
    # gRPC would refuse it too, in words that name neither the setting nor a way out.
    payload = response.SerializeToString()
    if len(payload) > frame.max_message_bytes:
        raise TooLarge(
            f"the answer has {len(payload)} bytes, over max_message_bytes, "
            f"{frame.max_message_bytes}; ask for fewer rows, targets or outputs at a time"
        )
    return payload


def _arrived(context: Context) -> Call:
    headers: dict[str, Any] = dict(context.invocation_metadata() or ())
    deadline = Deadline.after(context.time_remaining())
    identity = request_id(headers.get("x-request-id"))
    return Call(identity, deadline, grpc_share(context.peer()), headers=headers)


@contextmanager
def _framed(
    call: Call, rpc: str, context: Context, frame: Frame, *, counts: bool = True
) -> Iterator[None]:
    """Let a call in, keep its account, and put what is known of it into the trailing metadata."""
    identify(call, rpc, (call.headers or {}).get("authorization"), frame)
    limited = counts and call.caller.allowance is not None
    with admitted(call, frame) if limited else _UNLIMITED, accounted(call, rpc, frame):
        yield
    trailers = [("x-request-id", call.request_id)]
    if timing := server_timing(call):
        trailers.append(("server-timing", timing))
    context.set_trailing_metadata(tuple(trailers))


async def refuse(error: CandorError, request: str, context: Context) -> NoReturn:
    """End a call with an error."""
    status, details = status_of(error), details_of(error, request)
    await context.abort(status.code, details, trailers_of(error, request))
