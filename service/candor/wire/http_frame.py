"""The frame of every HTTP call of ours: body, request id, errors, access log, metrics.

As `calls` is for gRPC. A handler is a coroutine `(request, body, call) -> response`; what it raises
becomes a page in the words of its protocol. Where the caller hangs up, the work is cancelled.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from candor.engine.deadline import Deadline
from candor.engine.share import NOBODY, Share
from candor.errors import (
    Cancelled,
    CandorError,
    Overloaded,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownCompression,
)
from candor.wire.admission import admitted, identify
from candor.wire.call import Call, Frame, accounted, request_id, server_timing
from candor.wire.health import Readiness
from candor.wire.http_body import ENCODINGS, read_body
from candor.wire.offload import LARGE_BYTES
from candor.wire.peers import share_at
from candor.wire.status import details_of, status_of

__all__ = ["Handler", "Refusal", "Rest", "advice_of", "plain_refusal", "unless_gone"]

T = TypeVar("T")

Handler: TypeAlias = Callable[[Request, bytes, Call], Awaitable[Response]]
Refusal: TypeAlias = Callable[[CandorError, str], Response]


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
            call = self.call_of(request)
            try:
                async with self.let_in(request, call, rpc, deadline) as body:
                    work = self._work(partial(handler, request, body, call), call, rpc)
                    response = await unless_gone(request, work)
            except CandorError as error:
                response = refuse(error, call.request_id)
                response.headers.update(advice_of(error))
            response.headers["x-request-id"] = call.request_id
            return response

        return answer

    def call_of(self, request: Request) -> Call:
        """The call that a request is."""
        given = request.headers.get("x-request-id")
        return Call(request_id(given), Deadline(), _peer(request), headers=request.headers)

    @asynccontextmanager
    async def let_in(
        self, request: Request, call: Call, rpc: str, deadline: Callable[[Request], Deadline]
    ) -> AsyncGenerator[bytes, None]:
        """Have a call under way while the block runs; yields its body.

        Raises:
            CandorError: it is not let in, or its body cannot be read.
        """
        if self.readiness.state == "draining":
            raise Unavailable("the server is stopping")
        identify(call, rpc, request.headers.get("authorization"), self.frame)
        with admitted(call, self.frame):
            body = await read_body(request, self.frame)
            call.deadline = deadline(request)
            call.large = len(body) > LARGE_BYTES
            yield body

    async def _work(self, run: Callable[[], Awaitable[Response]], call: Call, rpc: str) -> Response:
        with accounted(call, rpc, self.frame):
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


def _peer(request: Request) -> Share:
    return share_at(*request.client) if request.client else NOBODY


def advice_of(error: CandorError) -> dict[str, str]:
    """What HTTP says of an error in its headers."""
    if isinstance(error, Overloaded):
        return {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
    if isinstance(error, UnknownCompression):
        return {"accept-encoding": ENCODINGS}
    return {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What the work gives, unless the caller hangs up before; then the work is cancelled."""
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
