"""ModelStreamInfer: many requests on one stream, each answered, or refused, by itself.

Requests run side by side, a bounded number at a time; beyond it the stream is not read, which the
caller feels as gRPC's flow control. Plain predictions are answered in their order; explanations
tell their progress in between, and a long one holds nobody up. A request that fails is answered
with an `error_message`, and the stream goes on. When the server drains, requests under way are
finished and the stream ends.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from candor.errors import CandorError
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.wire.admission import admitted
from candor.wire.call import Call, Frame, accounted
from candor.wire.calls import parsed, written
from candor.wire.health import Readiness
from candor.wire.oip_infer import Infer
from candor.wire.oip_parameters import PREFIX
from candor.wire.status import details_of, status_of

__all__ = ["StreamInfer"]

_RPC: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
_ROOM: Final = 32
"""Requests of one stream that are under way at the same time."""


@dataclass(frozen=True, slots=True)
class StreamInfer:
    """The handler, over what answers single requests."""

    infer: Infer
    readiness: Readiness
    frame: Frame

    async def serve(
        self, payloads: AsyncIterator[bytes], call: Call
    ) -> AsyncGenerator[bytes, None]:
        """Answer the requests of one stream until the caller ends it, or the server drains."""
        answers: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        work = asyncio.create_task(self._work(payloads, _Stream(call, answers)))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
            await work
        finally:
            work.cancel()
            await asyncio.wait((work,))

    async def _work(self, payloads: AsyncIterator[bytes], stream: "_Stream") -> None:
        try:
            async with asyncio.TaskGroup() as requests:
                async for payload in self._until_draining(payloads):
                    await stream.room.acquire()
                    turn = await _read(payload, stream)
                    requests.create_task(self._answer(turn, stream))
        finally:
            # Nobody reads any more where the call was cancelled: there is no place to wait for.
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                await stream.answers.put(None)

    async def _until_draining(self, payloads: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        draining = asyncio.create_task(self._draining())
        reading: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                reading = asyncio.ensure_future(anext(payloads, None))
                await asyncio.wait((reading, draining), return_when=asyncio.FIRST_COMPLETED)
                payload = reading.result() if reading.done() else None
                if payload is None:
                    return
                yield payload
        finally:
            draining.cancel()
            if reading is not None:
                reading.cancel()

    async def _draining(self) -> None:
        while self.readiness.state != "draining":
            await self.readiness.changed(within_s=60.0)

    async def _answer(self, turn: "_Turn", stream: "_Stream") -> None:
        try:
            with admitted(turn.call, self.frame):
                await self._answered(turn, stream)
        except CandorError as error:
            await turn.wait()
            await stream.answers.put(_refusal(error, turn).SerializeToString())
        finally:
            turn.over.set()
            stream.room.release()

    async def _answered(self, turn: "_Turn", stream: "_Stream") -> None:
        with accounted(turn.call, _RPC, self.frame):
            if turn.failure is not None:
                raise turn.failure
            async with aclosing(self.infer.stream(turn.request, turn.call)) as responses:
                async for response in responses:
                    message = pb.ModelStreamInferResponse(infer_response=response)
                    payload = await written(message, turn.call, self.frame)
                    await turn.wait()
                    await stream.answers.put(payload)


@dataclass(slots=True)
class _Stream:
    """What the requests of one stream share.

    Attributes:
        answers: on their way out; None is the end.
        last: over when the last plain request is.
    """

    call: Call
    answers: "asyncio.Queue[bytes | None]"
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ROOM))
    last: asyncio.Event | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Turn:
    """One request of a stream.

    Attributes:
        failure: why it cannot be read.
        before: over when the request that is to be answered before this one is.
        over: set when this one is.
    """

    request: pb.ModelInferRequest
    call: Call
    failure: CandorError | None
    before: asyncio.Event | None
    over: asyncio.Event

    async def wait(self) -> None:
        """Wait for those that are answered before."""
        if self.before is not None:
            await self.before.wait()


async def _read(payload: bytes, stream: _Stream) -> _Turn:
    stream.count += 1
    outer = stream.call
    call = Call(f"{outer.request_id}/{stream.count}", outer.deadline, outer.peer, outer.caller)
    failure: CandorError | None = None
    request = pb.ModelInferRequest()
    try:
        request = await parsed(pb.ModelInferRequest, payload, call)
    except CandorError as error:
        failure = error
    over = asyncio.Event()
    if _explains(request):
        return _Turn(request, call, failure, None, over)
    before, stream.last = stream.last, over
    return _Turn(request, call, failure, before, over)


def _explains(request: pb.ModelInferRequest) -> bool:
    named = (*request.parameters, *(output.name for output in request.outputs))
    return any(name.startswith(PREFIX) for name in named)


def _refusal(error: CandorError, turn: _Turn) -> pb.ModelStreamInferResponse:
    """What Triton answers: a message that names the request, beside a response with its id."""
    request = turn.request
    prefix = f"[request id: {request.id}] " if request.id else ""
    refusal = pb.ModelStreamInferResponse(
        error_message=prefix + details_of(error, turn.call.request_id)
    )
    response = refusal.infer_response
    response.id, response.model_name = request.id, request.model_name
    response.parameters["candor.code"].string_param = status_of(error).code.name
    response.parameters["candor.error"].string_param = type(error).__name__
    response.parameters["triton_final_response"].bool_param = True
    return refusal
