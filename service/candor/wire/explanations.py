"""`candor.v1.ExplanationService`: decode, call the engine, encode."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from candor.engine.engine import Engine
from candor.engine.request import ExplainRequest, Explanation
from candor.v1 import explanation_pb2 as pb
from candor.wire.calls import Call, Routes
from candor.wire.lookup import Models, find_model
from candor.wire.offload import MANY, offloaded
from candor.wire.overlays import draw_overlays
from candor.wire.progress import Report, with_reports
from candor.wire.requests import explain_request, opacity_of, predict_request
from candor.wire.responses import (
    attribution_message,
    check_outputs,
    explain_response,
    prediction_message,
)

__all__ = ["Explanations"]


@dataclass(frozen=True, slots=True)
class Explanations:
    """The handlers of the service, over one engine and the store of its models."""

    engine: Engine
    store: Models

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
        prediction = await self.engine.predict(asked, call.deadline)
        call.returned(prediction)
        call.large |= prediction.n_rows > MANY
        write = partial(prediction_message, prediction, request.outputs)
        return pb.PredictResponse(prediction=await offloaded(write, large=call.large))

    async def explain(self, request: pb.ExplainRequest, call: Call) -> pb.ExplainResponse:
        """Classify and explain every row."""
        asked = await self._read(request, call)
        call.handed()
        explanation = await self.engine.explain(asked, call.deadline)
        return await _response(request, explanation, call)

    async def explain_stream(
        self, request: pb.ExplainStreamRequest, call: Call
    ) -> AsyncGenerator[pb.ExplainStreamResponse, None]:
        """As `explain`, with progress on the way."""
        explain = request.explain
        asked = await self._read(explain, call)
        run = partial(self.engine.explain, asked, call.deadline)
        call.handed()
        async with aclosing(with_reports(run)) as events:
            async for event in events:
                if isinstance(event, Report):
                    yield pb.ExplainStreamResponse(progress=_progress(event))
                else:
                    yield pb.ExplainStreamResponse(result=await _response(explain, event, call))

    async def estimate(self, request: pb.EstimateRequest, call: Call) -> pb.EstimateResponse:
        """Say what an explanation would cost."""
        await self._find(request.explain, call)
        read = partial(explain_request, request.explain)
        cost = await self.engine.estimate(await offloaded(read, large=call.large))
        return pb.EstimateResponse(
            model_calls=cost.model_calls, milliseconds=cost.milliseconds, bytes=cost.bytes
        )

    async def _read(self, request: pb.ExplainRequest, call: Call) -> ExplainRequest:
        call.methods = await offloaded(partial(_methods, request), large=call.large)
        await self._find(request, call)
        return await offloaded(partial(explain_request, request), large=call.large)

    async def _find(self, request: pb.PredictRequest | pb.ExplainRequest, call: Call) -> None:
        model = await find_model(self.store, request.model, request.version)
        call.model = model.id
        check_outputs(request.outputs, [output.name for output in model.outputs])
        if isinstance(request, pb.ExplainRequest):
            opacity_of(request)


async def _response(
    request: pb.ExplainRequest, explanation: Explanation, call: Call
) -> pb.ExplainResponse:
    call.returned(explanation)
    opacity = opacity_of(request)
    pictures = request.input.images.images
    overlays = {} if opacity is None else await draw_overlays(explanation, pictures, opacity)
    call.large |= explanation.n_answers > MANY
    write = partial(explain_response, explanation, request.outputs, overlays)
    return await offloaded(write, large=call.large)


def _methods(request: pb.ExplainRequest) -> tuple[str, ...]:
    names = (method.WhichOneof("options") for method in request.methods)
    return tuple(dict.fromkeys(name for name in names if name))


def _progress(report: Report) -> pb.Progress:
    message = pb.Progress(
        method=report.method,
        row=report.row,
        target_position=report.target,
        fraction=report.progress,
    )
    if report.partial is not None:
        partial = attribution_message(report.partial, report.row, report.target)
        message.partial.CopyFrom(partial)
    return message
