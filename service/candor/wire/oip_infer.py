"""ModelInfer, in one answer or as a stream of them: plain predictions, and explanations inside."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from candor.engine.deadline import Deadline
from candor.engine.engine import Engine
from candor.engine.request import ExplainRequest, Explanation, Prediction, PredictRequest
from candor.explain.parse import method_name
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.runtime.model import Model
from candor.wire.call import Call
from candor.wire.lookup import Models, find_model
from candor.wire.offload import MANY, offloaded
from candor.wire.oip_parameters import scalars
from candor.wire.oip_progress import Shares, final_response, progress_response
from candor.wire.oip_requests import Asked, prioritised, read_request, tightened
from candor.wire.oip_responses import explain_response, predict_response
from candor.wire.progress import Report, with_reports

__all__ = ["Infer"]


@dataclass(frozen=True, slots=True)
class Infer:
    """Answers inference requests, whatever way they came."""

    engine: Engine
    store: Models

    async def answer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Predict, and explain where that is asked for."""
        asked, deadline = await self._begin(request, call)
        if isinstance(asked.request, PredictRequest):
            return await self._predict(request, asked.request, asked, deadline, call)
        call.handed()
        explanation = await self.engine.explain(asked.request, deadline, share=call.share)
        return await _explained(request, explanation, asked, call)

    async def stream(
        self, request: pb.ModelInferRequest, call: Call
    ) -> AsyncGenerator[pb.ModelInferResponse, None]:
        """As `answer`, which comes last; an explanation tells its progress on the way."""
        asked, deadline = await self._begin(request, call)
        if isinstance(asked.request, PredictRequest):
            answer = await self._predict(request, asked.request, asked, deadline, call)
            answer.parameters["triton_final_response"].bool_param = True
            yield answer
            return
        shares = Shares(asked.request)
        run = partial(self.engine.explain, asked.request, deadline, share=call.share)
        call.handed()
        async with aclosing(with_reports(run)) as events:
            async for event in events:
                if isinstance(event, Report):
                    share = shares.tell(event)
                    yield progress_response(request.id, call.model, event, share, asked)
                else:
                    yield final_response(await _explained(request, event, asked, call))

    async def _begin(self, request: pb.ModelInferRequest, call: Call) -> tuple[Asked, Deadline]:
        call.methods = ("predict",)
        model = await find_model(self.store, call.caller, request.model_name, request.model_version)
        call.model = model.id
        read = partial(_read, request, model, call)
        asked, deadline = await offloaded(read, large=call.large)
        if isinstance(asked.request, ExplainRequest):
            call.methods = tuple(map(method_name, asked.request.methods))
            own = replace(asked.request, tenant=call.caller.tenant)
            asked = replace(asked, request=own)
        return asked, deadline

    async def _predict(
        self,
        request: pb.ModelInferRequest,
        wanted: PredictRequest,
        asked: Asked,
        deadline: Deadline,
        call: Call,
    ) -> pb.ModelInferResponse:
        call.handed()
        prediction: Prediction = await self.engine.predict(wanted, deadline, call.share)
        call.returned(prediction)
        call.large |= _ranks(asked) and prediction.n_rows > MANY
        write = partial(predict_response, request.id, prediction, asked)
        return await offloaded(write, large=call.large)


async def _explained(
    request: pb.ModelInferRequest, explanation: Explanation, asked: Asked, call: Call
) -> pb.ModelInferResponse:
    call.returned(explanation)
    call.large |= explanation.n_answers > MANY
    write = partial(explain_response, request.id, explanation, asked)
    return await offloaded(write, large=call.large)


def _read(request: pb.ModelInferRequest, model: Model, call: Call) -> tuple[Asked, Deadline]:
    asked, parameters = read_request(request, model), scalars(request.parameters)
    call.peer = prioritised(call.peer, parameters)
    return asked, tightened(call.deadline, parameters)


def _ranks(asked: Asked) -> bool:
    """Whether classes are written one by one; arrays are copied whole."""
    return any(asked.outputs.values())
