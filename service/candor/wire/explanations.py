"""`candor.v1.ExplanationService`: decode, call the engine, encode."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from candor.engine.engine import Engine
from candor.engine.request import ExplainRequest, Explanation
from candor.runtime.model import Model
from candor.v1 import explanation_pb2 as pb
from candor.wire.calls import Call, Routes
from candor.wire.drawings import Wish, draw_answers, wish_of
from candor.wire.lookup import Models, find_model
from candor.wire.offload import MANY, offloaded
from candor.wire.progress import Report, with_reports
from candor.wire.replays import Replays
from candor.wire.requests import explain_request, predict_request
from candor.wire.responses import (
    Drawings,
    attribution_message,
    check_outputs,
    explain_response,
    predict_response,
)

__all__ = ["Explanations", "progress_message", "written_out"]

_CACHED = (pb.CACHE_POLICY_UNSPECIFIED, pb.CACHE_POLICY_USE)


@dataclass(frozen=True, slots=True)
class Explanations:
    """The handlers of the service, over one engine and the store of its models.

    Attributes:
        replays: of answers that were given before; None where each is written anew.
    """

    engine: Engine
    store: Models
    replays: Replays | None = None

    def routes(self) -> Routes:
        """Handler by name of the method."""
        return {
            "Predict": self.predict,
            "Explain": self.explain,
            "ExplainStream": self.explain_stream,
            "Estimate": self.estimate,
        }

    async def predict(self, request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
        """Classify every row."""
        call.methods = ("predict",)
        await self._find(request, call)
        asked = await offloaded(partial(predict_request, request), large=call.large)
        call.handed()
        prediction = await self.engine.predict(asked, call.deadline, call.share)
        call.returned(prediction)
        call.large |= prediction.n_rows > MANY
        write = partial(predict_response, prediction, request.outputs)
        return await offloaded(write, large=call.large)

    async def explain(self, request: pb.ExplainRequest, call: Call) -> pb.ExplainResponse:
        """Classify and explain every row."""
        model = await self._begin(request, call)
        key = await self._key_of(request, call)
        if (replayed := self._replayed(key, model, call)) is not None:
            return replayed
        asked, wish = await self._read(request, model, call)
        call.handed()
        explanation = await self.engine.explain(asked, call.deadline, share=call.share)
        call.returned(explanation)
        drawings = await draw_answers(explanation, asked.payload, wish)
        response = await written_out(request, explanation, drawings, call)
        if self.replays is not None:
            self.replays.keep(key, model, explanation, response)
        return response

    async def explain_stream(
        self, request: pb.ExplainStreamRequest, call: Call
    ) -> AsyncGenerator[pb.ExplainStreamResponse, None]:
        """As `explain`, with progress on the way."""
        explain = request.explain
        asked, wish = await self.read(explain, call)
        run = partial(self.engine.explain, asked, call.deadline, share=call.share)
        call.handed()
        async with aclosing(with_reports(run)) as events:
            async for event in events:
                if isinstance(event, Report):
                    yield pb.ExplainStreamResponse(progress=progress_message(event))
                else:
                    call.returned(event)
                    drawings = await draw_answers(event, asked.payload, wish)
                    result = await written_out(explain, event, drawings, call)
                    yield pb.ExplainStreamResponse(result=result)

    async def estimate(self, request: pb.EstimateRequest, call: Call) -> pb.EstimateResponse:
        """Say what an explanation would cost."""
        await self._find(request.explain, call)
        read = partial(explain_request, request.explain)
        asked = await offloaded(read, large=call.large)
        cost = await self.engine.estimate(asked, call.share)
        return pb.EstimateResponse(
            model_calls=cost.model_calls, milliseconds=cost.milliseconds, bytes=cost.bytes
        )

    async def read(
        self, request: pb.ExplainRequest, call: Call
    ) -> tuple[ExplainRequest, Wish | None]:
        """Understand a request, and what is to be drawn of its answers; notes model and methods.

        Raises:
            CandorError: what is wrong with it, as far as that can be told without its rows.
        """
        return await self._read(request, await self._begin(request, call), call)

    async def _begin(self, request: pb.ExplainRequest, call: Call) -> Model:
        call.methods = await offloaded(partial(_methods, request), large=call.large)
        return await self._find(request, call)

    async def _key_of(self, request: pb.ExplainRequest, call: Call) -> str:
        """What stands for the request; "" where its answer is not to be kept."""
        if self.replays is None or request.cache not in _CACHED:
            return ""
        key_of = partial(self.replays.key_of, request, call.caller.tenant)
        return await offloaded(key_of, large=call.large)

    def _replayed(self, key: str, model: Model, call: Call) -> pb.ExplainResponse | None:
        replay = self.replays.find(key, model, pb.ExplainResponse) if self.replays else None
        if replay is None:
            return None
        call.handed()
        call.returned(replay.explanation)
        replay.response.ClearField("timings_s")
        replay.response.timings_s.update(replay.explanation.timings_s)
        return replay.response

    async def _read(
        self, request: pb.ExplainRequest, model: Model, call: Call
    ) -> tuple[ExplainRequest, Wish | None]:
        wish = wish_of(request, model)
        asked = await offloaded(partial(explain_request, request), large=call.large)
        return replace(asked, tenant=call.caller.tenant), wish

    async def _find(self, request: pb.PredictRequest | pb.ExplainRequest, call: Call) -> Model:
        """The model that a request names, and what that alone can tell of the request."""
        model = await find_model(self.store, call.caller, request.model, request.version)
        call.model = model.id
        if request.outputs:
            check_outputs(request.outputs, [output.name for output in model.outputs])
        return model


async def written_out(
    request: pb.ExplainRequest, explanation: Explanation, drawings: Drawings, call: Call
) -> pb.ExplainResponse:
    """The answer to a request, in a thread where it is long."""
    call.large |= explanation.n_answers > MANY
    write = partial(explain_response, explanation, request.outputs, drawings)
    return await offloaded(write, large=call.large)


def _methods(request: pb.ExplainRequest) -> tuple[str, ...]:
    names = (method.WhichOneof("options") for method in request.methods)
    return tuple(dict.fromkeys(name for name in names if name))


def progress_message(report: Report) -> pb.Progress:
    """How far one answer is, with what it looks like so far."""
    message = pb.Progress(
        method=report.method,
        row=report.row,
        target_position=report.target,
        fraction=report.progress,
    )
    if report.partial is not None:
        first, *others = (
            attribution_message(one, report.row, report.target) for one in report.partial.maps
        )
        message.partial.CopyFrom(first)
        message.further.extend(others)
    return message
