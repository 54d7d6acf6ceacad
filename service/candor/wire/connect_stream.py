"""Streams over Connect: one message in, any number out, and at the end how it went.

Each message stands in an envelope: a byte of flags, its length in four bytes, big-endian, itself.
The status is always 200; an error, and the trailers, are in the last envelope, whose flags say so.
All that it takes is HTTP/1.1, which browsers speak, where gRPC's own streams need more.
"""

import json
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from candor.engine.gather import within
from candor.errors import CandorError, InvalidArgument, TooLarge
from candor.wire.call import Call, Frame, accounted, server_timing
from candor.wire.connect_messages import (
    check_version,
    deadline_of,
    error_document,
    kind_of,
    read_message,
    write_message,
)
from candor.wire.http_body import unpack
from candor.wire.http_frame import Rest, advice_of, unless_gone
from candor.wire.offload import offloaded

__all__ = ["STREAMED", "ConnectStream"]

_PROTO: Final = "application/connect+proto"
STREAMED: Final = ("application/connect+json", _PROTO)

_HEAD: Final = struct.Struct(">BI")
_COMPRESSED: Final = 1
_LAST: Final = 2
_ENCODING: Final = "connect-content-encoding"


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """One method that answers with a stream.

    Attributes:
        message_type: of its request.
        handle: answers it, as over gRPC.
        rpc: how log lines name it.
        rest: what all calls share.
    """

    message_type: type[Message]
    handle: Callable[[Any, Call], Any]
    rpc: str
    rest: Rest

    async def begin(self, request: Request) -> Response:
        """A response that does the work while it is sent."""
        return _Streamed(partial(self._serve, request))

    async def _serve(self, request: Request, send: Send) -> None:
        call = self.rest.call_of(request)
        answer = _Answer(send, kind_of(request), call.request_id)
        try:
            async with self.rest.let_in(request, call, self.rpc, deadline_of) as body:
                await unless_gone(request, self._work(request, body, call, answer))
        except CandorError as error:
            advice = {**_trailers(call), **advice_of(error)}
            await answer.end(advice, error_document(error, call.request_id))
        else:
            await answer.end(_trailers(call))

    async def _work(self, request: Request, body: bytes, call: Call, answer: "_Answer") -> None:
        frame = self.rest.frame
        with accounted(call, self.rpc, frame):
            async with within(call.deadline):  # of a stream nobody else looks at the clock
                check_version(request)
                read = partial(self._read, request, body)
                asked = await offloaded(read, large=call.large)
                messages: AsyncGenerator[Message, None] = self.handle(asked, call)
                async with aclosing(messages):
                    async for message in messages:
                        write = partial(_written, message, frame, binary=answer.binary)
                        await answer.message(await offloaded(write, large=call.large))

    def _read(self, request: Request, body: bytes) -> Message:
        content = _opened(request, body, self.rest.frame)
        return read_message(self.message_type, content, binary=kind_of(request) == _PROTO)


class _Streamed(Response):
    """A response that writes itself."""

    def __init__(self, serve: Callable[[Send], Awaitable[None]]) -> None:
        super().__init__()
        self._serve = serve

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(send)


class _Answer:
    """What goes out: the head of the response with the first envelope, and one that is the last."""

    def __init__(self, send: Send, kind: str, request_id: str) -> None:
        self.binary = kind == _PROTO
        self._send = send
        self._head = [
            (b"content-type", kind.encode()),
            (b"x-request-id", request_id.encode()),
            # Proxies that gather answers would hold up progress until there is no more of it.
            (b"x-accel-buffering", b"no"),
        ]
        self._begun = False

    async def message(self, content: bytes) -> None:
        """Send a message; returns when the connection has room for more."""
        await self._put(0, content)

    async def end(
        self, trailers: Mapping[str, str], error: Mapping[str, Any] | None = None
    ) -> None:
        """Say how it went; there is nothing after."""
        document: dict[str, Any] = {"metadata": {name: [trailers[name]] for name in trailers}}
        if error is not None:
            document["error"] = error
        await self._put(_LAST, json.dumps(document).encode(), more=False)

    async def _put(self, flags: int, content: bytes, *, more: bool = True) -> None:
        if not self._begun:
            self._begun = True
            start = {"type": "http.response.start", "status": 200, "headers": self._head}
            await self._send(start)
        envelope = _HEAD.pack(flags, len(content)) + content
        await self._send({"type": "http.response.body", "body": envelope, "more_body": more})


def _opened(request: Request, body: bytes, frame: Frame) -> bytes:
    """The one message of a request.

    Raises:
        InvalidArgument: it is not one message in its envelope.
        TooLarge: unpacked it is over a limit.
    """
    if len(body) < _HEAD.size:
        raise InvalidArgument(
            f"the body has {len(body)} bytes; expected one message in an envelope: a byte of "
            "flags, its length in four bytes, big-endian, itself"
        )
    flags, length = _HEAD.unpack_from(body)
    content = body[_HEAD.size :]
    if flags & ~_COMPRESSED:
        raise InvalidArgument(f"the flags of the message are {flags}; expected 0, or 1: compressed")
    if length != len(content):
        raise InvalidArgument(
            f"the message has {length} bytes by its envelope, and {len(content)} follow; expected "
            "one message, and nothing behind it"
        )
    if not flags:
        return content
    if _ENCODING not in request.headers:
        raise InvalidArgument(f"the message is compressed, but there is no {_ENCODING}")
    return unpack(request, content, frame, _ENCODING)


def _written(message: Message, frame: Frame, *, binary: bool) -> bytes:
    content = write_message(message, binary=binary)
    if len(content) > frame.max_message_bytes:
        raise TooLarge(
            f"a message of the answer has {len(content)} bytes, over max_message_bytes, "
            f"{frame.max_message_bytes}; ask for fewer rows, targets or outputs at a time"
        )
    return content


def _trailers(call: Call) -> dict[str, str]:
    timing = server_timing(call)
    return {"server-timing": timing} if timing else {}
