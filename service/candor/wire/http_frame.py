"""The frame of every HTTP call of ours: body, request id, errors, access log, metrics.

As `calls` is for gRPC. A handler is a coroutine `(request, body, call) -> response`; what it raises
becomes a page in the words of its protocol. Where the caller hangs up, the work is cancelled.
"""

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from candor.engine.deadline import Deadline
from candor.errors import (
    Cancelled,
    CandorError,
    InvalidArgument,
    Overloaded,
    TooLarge,
    Unavailable,
)
from candor.wire.call import Call, Frame, accounted, request_id, server_timing
from candor.wire.health import Readiness
from candor.wire.offload import LARGE_BYTES, offloaded
from candor.wire.status import details_of, status_of

__all__ = ["Handler", "Refusal", "Rest", "plain_refusal"]

Handler: TypeAlias = Callable[[Request, bytes, Call], Awaitable[Response]]
Refusal: TypeAlias = Callable[[CandorError, str], Response]

# Of zlib: a gzip header, a zlib header.
_WINDOWS: Final = {"gzip": 31, "deflate": 15}


def plain_refusal(error: CandorError, request: str) -> Response:
    """An error as Triton and KServe write it."""
    return JSONResponse({"error": details_of(error, request)}, status_of(error).http)


@dataclass(frozen=True, slots=True)
class Rest:
    """What all HTTP calls share."""

    frame: Frame
    readiness: Readiness

    def endpoint(
        self,
        handler: Handler,
        rpc: str,
        refuse: Refusal = plain_refusal,
        deadline: Callable[[Request], Deadline] = lambda _: Deadline(),
    ) -> Callable[[Request], Awaitable[Response]]:
        """A handler as Starlette wants it.

        Args:
            handler: does the work.
            rpc: how log lines name it.
            refuse: writes an error.
            deadline: reads when the caller stops waiting; may raise InvalidArgument.
        """

        async def answer(request: Request) -> Response:
            call = Call(request_id(request.headers.get("x-request-id")), Deadline())
            try:
                if self.readiness.state == "draining":
                    raise Unavailable("the server is stopping")
                body = await _body_of(request, self.frame.max_message_bytes)
                call.deadline = deadline(request)
                call.large = len(body) > LARGE_BYTES
                work = self._work(partial(handler, request, body, call), call, rpc)
                response = await _unless_gone(request, work)
            except CandorError as error:
                response = refuse(error, call.request_id)
                if isinstance(error, Overloaded):
                    response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
            response.headers["x-request-id"] = call.request_id
            return response

        return answer

    async def _work(self, run: Callable[[], Awaitable[Response]], call: Call, rpc: str) -> Response:
        async with accounted(call, rpc, self.frame):
            response = await run()
            if timing := server_timing(call):
                response.headers["server-timing"] = timing
            size, limit = len(response.body), self.frame.max_message_bytes
            if size > limit:
                raise TooLarge(
                    f"the answer has {size} bytes, over max_message_bytes, {limit}; ask for fewer "
                    "rows, targets or outputs at a time, or for binary outputs"
                )
            return response


async def _body_of(request: Request, limit: int) -> bytes:
    """The whole body, unpacked.

    Raises:
        TooLarge: longer than the limit, before or after.
        InvalidArgument: a compression that is not known, or bytes that are not what it makes.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect as error:
        raise Cancelled("the caller hung up") from error
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return bytes(body)
    if encoding not in _WINDOWS:
        raise InvalidArgument(
            f"content-encoding is '{encoding[:40]}'; there are identity, {', '.join(_WINDOWS)}"
        )
    unpack = partial(_unpacked, bytes(body), encoding, limit)
    return await offloaded(unpack, large=len(body) > LARGE_BYTES // 16)


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        # A few bytes may unpack to any number: no more than one over the limit is made.
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgument(f"the body is not {encoding}: {error}") from error
    if len(unpacked) > limit:
        raise _too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidArgument(f"the body is not one whole {encoding} stream")
    return unpacked


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the body is longer than max_message_bytes, {limit}; send fewer rows at a time"
    )


async def _unless_gone(request: Request, work: Awaitable[Response]) -> Response:
    """The response, unless the caller hangs up before; then the work is cancelled."""
    working = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Cancelled("the caller hung up")
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.wait((working,))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
