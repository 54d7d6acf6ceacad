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
from candor.wire.oip_parameters import PREFIX, scalars
from candor.wire.oip_progress import Shares, final_response, progress_response
from candor.wire.oip_requests import Asked, prioritised, read_request, tightened
from candor.wire.oip_responses import explain_response, predict_response
from candor.wire.progress import Report, with_reports
from candor.wire.replays import Replays

__all__ = ["Infer"]


@dataclass(frozen=True, slots=True)
class Infer:
    """Answers inference requests, whatever way they came.

    Attributes:
        replays: of explanations that were given before; None where each is written anew.
    """

    engine: Engine
    store: Models
    replays: Replays | None = None

    async def answer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Predict, and explain where that is asked for."""
        model = await self._find(request, call)
        key = await self._key_of(request, call)
        if (replayed := self._replayed(request, key, model, call)) is not None:
            return replayed
        asked, deadline = await _begun(request, model, call)
        if isinstance(asked.request, PredictRequest):
            return await self._predict(request, asked.request, asked, deadline, call)
        call.handed()
        explanation = await self.engine.explain(asked.request, deadline, share=call.share)
        response = await _explained(request, explanation, asked, call)
        if self.replays is not None:
            self.replays.keep(key, model, explanation, response)
        return response

    async def stream(
        self, request: pb.ModelInferRequest, call: Call
    ) -> AsyncGenerator[pb.ModelInferResponse, None]:
        """As `answer`, which comes last; an explanation tells its progress on the way."""
        asked, deadline = await _begun(request, await self._find(request, call), call)
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

    async def _find(self, request: pb.ModelInferRequest, call: Call) -> Model:
        call.methods = ("predict",)
        model = await find_model(self.store, call.caller, request.model_name, request.model_version)
        call.model = model.id
        return model

    async def _key_of(self, request: pb.ModelInferRequest, call: Call) -> str:
        """What stands for a request that is to be explained; "" for all others."""
        if self.replays is None or not _explains(request):
            return ""
        key_of = partial(_key_but_for_id, self.replays, request, call.caller.tenant)
        return await offloaded(key_of, large=call.large)

    def _replayed(
        self, request: pb.ModelInferRequest, key: str, model: Model, call: Call
    ) -> pb.ModelInferResponse | None:
        replay = self.replays.find(key, model, pb.ModelInferResponse) if self.replays else None
        if replay is None:
            return None
        methods = (rows[0][0].attribution.method for rows in replay.explanation.answers)
        call.methods = tuple(dict.fromkeys(methods))
        call.handed()
        call.returned(replay.explanation)
        replay.response.id = request.id
        return replay.response

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


async def _begun(request: pb.ModelInferRequest, model: Model, call: Call) -> tuple[Asked, Deadline]:
    read = partial(_read, request, model, call)
    asked, deadline = await offloaded(read, large=call.large)
    if isinstance(asked.request, ExplainRequest):
        call.methods = tuple(map(method_name, asked.request.methods))
        own = replace(asked.request, tenant=call.caller.tenant)
        asked = replace(asked, request=own)
    return asked, deadline


def _explains(request: pb.ModelInferRequest) -> bool:
    """Whether an explanation is asked for, in one way or the other."""
    return f"{PREFIX}explain" in request.parameters or any(
        output.name.startswith(PREFIX) for output in request.outputs
    )


def _key_but_for_id(replays: Replays, request: pb.ModelInferRequest, tenant: str) -> str:
    """What stands for the request, by whatever id it is called."""
    own, request.id = request.id, ""
    try:
        return replays.key_of(request, tenant)
    finally:
        request.id = own


def _read(request: pb.ModelInferRequest, model: Model, call: Call) -> tuple[Asked, Deadline]:
    parameters = scalars(request.parameters)
    asked = read_request(request, model, parameters)
    call.peer = prioritised(call.peer, parameters)
    return asked, tightened(call.deadline, parameters)


def _ranks(asked: Asked) -> bool:
    """Whether classes are written one by one; arrays are copied whole."""
    return any(asked.outputs.values())
