"""The frame of every RPC of ours: parse, request id, deadline, errors, access log, metrics.

A handler is a plain coroutine `(request, call) -> response` (or an async generator), so that
another front door can call it as well. Messages are parsed here and not by gRPC, which would answer
an undecodable one with INTERNAL; a caller's mistake is INVALID_ARGUMENT.
"""

import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from candor.engine.deadline import Deadline
from candor.errors import CandorError, InternalError, InvalidArgument, TooLarge
from candor.metrics import UNKNOWN_MODEL, Metrics
from candor.result import ModelId
from candor.wire.offload import LARGE_BYTES, offloaded
from candor.wire.status import details_of, status_of, trailers_of

__all__ = ["Call", "Context", "Frame", "Routes", "service_handler"]

_LOG = logging.getLogger("candor.access")
_UNKNOWN = ModelId(UNKNOWN_MODEL, "", "")
_REQUEST_ID = re.compile(r"[!-~]{1,128}")

# Quoted: these are generic to the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


@dataclass(slots=True)
class Call:
    """One RPC under way.

    Attributes:
        request_id: the caller's `x-request-id`, or one of ours.
        deadline: when the caller stops waiting.
        model: the model that answers, once the handler has found it; for log and metrics.
        methods: what is counted when the call ends: `predict`, or the explanations; () is not
            counted.
        large: whether reading the request, or writing the answer, takes long enough to be done off
            the event loop; set by the frame for the one, by the handler for the other.
    """

    request_id: str
    deadline: Deadline
    model: ModelId | None = None
    methods: tuple[str, ...] = ()
    large: bool = False


# The request's type is known to the route and to the handler, not to the table between them.
Handler: TypeAlias = Callable[[Any, Call], Awaitable[Message]]
StreamHandler: TypeAlias = Callable[[Any, Call], AsyncGenerator[Message, None]]
Routes: TypeAlias = Mapping[str, Handler | StreamHandler]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all RPCs share.

    Attributes:
        metrics: told of every call that is counted.
        max_message_bytes: of an answer.
    """

    metrics: Metrics
    max_message_bytes: int


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
            else _unserved(f"/{name}/{method.name}", method)
            for method in service.methods
        },
    )


def _served(
    rpc: str, method: MethodDescriptor, handler: Any, frame: Frame
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    request_type = GetMessageClass(method.input_type)

    async def unary(payload: bytes, context: Context) -> bytes:
        async with _framed(rpc, context, frame.metrics) as call:
            response: Message = await handler(await _parsed(request_type, payload, call), call)
            return await _sent(response, call, frame)

    async def stream(payload: bytes, context: Context) -> AsyncGenerator[bytes, None]:
        async with (
            _framed(rpc, context, frame.metrics) as call,
            aclosing(handler(await _parsed(request_type, payload, call), call)) as responses,
        ):
            async for response in responses:
                yield await _sent(response, call, frame)

    # Without serialisers gRPC hands the bytes through.
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream)
    return grpc.unary_unary_rpc_method_handler(unary)


def _unserved(rpc: str, method: MethodDescriptor) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def refuse(_: object, context: Context) -> None:
        await context.abort(
            StatusCode.UNIMPLEMENTED, f"{rpc} is part of the protocol, but candor does not serve it"
        )

    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)


async def _parsed(request_type: type[Message], payload: bytes, call: Call) -> Message:
    call.large = len(payload) > LARGE_BYTES
    return await offloaded(partial(_parse, request_type, payload), large=call.large)


async def _sent(response: Message, call: Call, frame: Frame) -> bytes:
    return await offloaded(partial(_written, response, frame), large=call.large)


def _parse(request_type: type[Message], payload: bytes) -> Message:
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


@asynccontextmanager
async def _framed(rpc: str, context: Context, metrics: Metrics) -> AsyncGenerator[Call, None]:
    call = Call(_request_id(context), Deadline.after(context.time_remaining()))
    started = time.perf_counter()
    code = StatusCode.CANCELLED
    try:
        yield call
        code = StatusCode.OK
        context.set_trailing_metadata((("x-request-id", call.request_id),))
    except CandorError as error:
        code = status_of(error).code
        if error.kind == "internal":
            _LOG.exception("internal error", extra={"request_id": call.request_id, "rpc": rpc})
        await _abort(context, call, error)
    except Exception as error:  # noqa: BLE001 - the outermost handler: nothing may leak or kill
        code = StatusCode.INTERNAL
        _LOG.exception("internal error", extra={"request_id": call.request_id, "rpc": rpc})
        await _abort(context, call, InternalError(str(error)))
    finally:
        if code is StatusCode.CANCELLED and call.deadline.expired:
            code = StatusCode.DEADLINE_EXCEEDED
        seconds = time.perf_counter() - started
        for name in call.methods:
            metrics.answered(call.model or _UNKNOWN, name, code.name, seconds)
        _log(call, rpc, code, seconds)


async def _abort(context: Context, call: Call, error: CandorError) -> None:
    await context.abort(
        status_of(error).code,
        details_of(error, call.request_id),
        trailers_of(error, call.request_id),
    )


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id" and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return secrets.token_hex(8)


def _log(call: Call, rpc: str, code: StatusCode, seconds: float) -> None:
    # A line of JSON costs 65 us, a fifth of what gRPC itself takes for a call: what went well is
    # counted in the metrics, and logged where the operator asks for detail.
    level = logging.DEBUG if code is StatusCode.OK or not call.methods else logging.INFO
    if _LOG.isEnabledFor(level):
        fields: dict[str, str | float] = {
            "request_id": call.request_id,
            "rpc": rpc,
            "code": code.name,
            "milliseconds": round(seconds * 1000, 3),
        }
        if call.methods:
            fields["method"] = ",".join(call.methods)
        if call.model is not None:
            fields |= {"model": call.model.name, "version": call.model.version}
        _LOG.log(level, "call", extra=fields)
