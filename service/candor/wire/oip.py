"""`inference.GRPCInferenceService`: the Open Inference Protocol, with explanations in ModelInfer.

A request without anything of `candor.*` in it answers what Triton would answer for the same file.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from candor.engine.deadline import Deadline
from candor.engine.engine import Engine
from candor.engine.request import PredictRequest
from candor.errors import InvalidModel, NotFound
from candor.explain.parse import method_name
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.runtime.model import Model
from candor.wire.calls import Call, Routes
from candor.wire.health import Readiness
from candor.wire.lookup import Models, find_model
from candor.wire.offload import MANY, offloaded
from candor.wire.oip_models import index_entry, model_config, model_metadata
from candor.wire.oip_parameters import scalars
from candor.wire.oip_requests import Asked, read_request, tightened
from candor.wire.oip_responses import explain_response, predict_response

__all__ = ["SERVICE", "Inference"]

SERVICE = "inference.GRPCInferenceService"

# What a client may rely on beyond the core; `statistics` is absent, so perf_analyzer does not ask.
_EXTENSIONS = ("classification", "model_configuration", "candor")


@dataclass(frozen=True, slots=True)
class Inference:
    """The handlers of the service, over one engine and the store of its models."""

    engine: Engine
    store: Models
    readiness: Readiness

    def routes(self) -> Routes:
        """Handler by name of the method; the protocol's others are not served."""
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelInfer": self.model_infer,
            "RepositoryIndex": self.repository_index,
        }

    async def server_live(self, _: pb.ServerLiveRequest, call: Call) -> pb.ServerLiveResponse:
        """Say that the process answers."""
        del call
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _: pb.ServerReadyRequest, call: Call) -> pb.ServerReadyResponse:
        """Say whether requests are taken."""
        del call
        return pb.ServerReadyResponse(ready=self.readiness.ready)

    async def server_metadata(
        self, _: pb.ServerMetadataRequest, call: Call
    ) -> pb.ServerMetadataResponse:
        """Name the server."""
        del call
        return pb.ServerMetadataResponse(name="candor", version=_version(), extensions=_EXTENSIONS)

    async def model_ready(self, request: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        """Say whether a model takes requests; one that does not exist does not."""
        try:
            call.model = (await find_model(self.store, request.name, request.version)).id
        except (NotFound, InvalidModel):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self.readiness.ready)

    async def model_metadata(
        self, request: pb.ModelMetadataRequest, call: Call
    ) -> pb.ModelMetadataResponse:
        """Describe a model's own inputs and outputs."""
        model = await find_model(self.store, request.name, request.version)
        call.model = model.id
        return model_metadata(model, self.store.entries())

    async def model_config(
        self, request: pb.ModelConfigRequest, call: Call
    ) -> pb.ModelConfigResponse:
        """Describe how a model is served, and what explains it."""
        model = await find_model(self.store, request.name, request.version)
        call.model = model.id
        # What a model's methods are is found out when first asked, by a walk over its graph.
        config = await asyncio.to_thread(model_config, model)
        return pb.ModelConfigResponse(config=config)

    async def repository_index(
        self, request: pb.RepositoryIndexRequest, call: Call
    ) -> pb.RepositoryIndexResponse:
        """List what the repository holds."""
        del call
        entries = self.store.entries()
        return pb.RepositoryIndexResponse(
            models=[
                index_entry(entry)
                for entry in entries
                if entry.state == "ready" or not request.ready
            ]
        )

    async def model_infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Predict, and explain where that is asked for."""
        call.methods = ("predict",)
        model = await find_model(self.store, request.model_name, request.model_version)
        call.model = model.id
        read = partial(_read, request, model, call)
        asked, deadline = await offloaded(read, large=call.large)
        if isinstance(asked.request, PredictRequest):
            prediction = await self.engine.predict(asked.request, deadline)
            call.large |= _ranks(asked) and len(prediction.views) > MANY
            write = partial(predict_response, request.id, prediction, asked)
            return await offloaded(write, large=call.large)
        call.methods = tuple(map(method_name, asked.request.methods))
        explanation = await self.engine.explain(asked.request, deadline)
        call.large |= explanation.n_answers > MANY
        explained = partial(explain_response, request.id, explanation, asked)
        return await offloaded(explained, large=call.large)


def _read(request: pb.ModelInferRequest, model: Model, call: Call) -> tuple[Asked, Deadline]:
    asked = read_request(request, model)
    return asked, tightened(call.deadline, scalars(request.parameters))


def _ranks(asked: Asked) -> bool:
    """Whether classes are written one by one; arrays are copied whole."""
    return any(asked.outputs.values())


def _version() -> str:
    try:
        return version("candor")
    except PackageNotFoundError:
        # Run from the source tree, not installed.
        return "0+source"
