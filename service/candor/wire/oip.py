"""`inference.GRPCInferenceService`: the Open Inference Protocol, with explanations in ModelInfer.

A request without anything of `candor.*` in it answers what Triton would answer for the same file.
"""

import asyncio
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from candor.engine.engine import Engine
from candor.engine.statistics import Statistics
from candor.errors import InvalidModel, NotFound
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.wire.call import Call
from candor.wire.calls import Routes
from candor.wire.health import Readiness
from candor.wire.lookup import Models, find_model
from candor.wire.oip_infer import Infer
from candor.wire.oip_models import model_config, model_metadata
from candor.wire.oip_repository import Repository
from candor.wire.oip_statistics import statistics_response
from candor.wire.replays import Replays

__all__ = ["SERVICE", "Inference"]

SERVICE = "inference.GRPCInferenceService"

# What a client may rely on beyond the core.
_EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "statistics",
    "candor",
)


@dataclass(frozen=True, slots=True)
class Inference:
    """The handlers of the service, over one engine and the store of its models.

    Attributes:
        statistics: what the calls are counted in.
        control: whether models may be loaded and unloaded on request.
        replays: of explanations that were given before; None where each is written anew.
    """

    engine: Engine
    store: Models
    readiness: Readiness
    statistics: Statistics = field(default_factory=Statistics)
    control: bool = False
    replays: Replays | None = None

    @property
    def infer(self) -> Infer:
        """What answers inference requests."""
        return Infer(self.engine, self.store, self.replays)

    @property
    def repository(self) -> Repository:
        """What answers for the repository."""
        return Repository(self.store, self.control)

    def routes(self) -> Routes:
        """Handler by name of the method; the protocol's others are not served."""
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "ModelInfer": self.model_infer,
            **self.repository.routes(),
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
            call.model = (
                await find_model(self.store, call.caller, request.name, request.version)
            ).id
        except (NotFound, InvalidModel):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self.readiness.ready)

    async def model_metadata(
        self, request: pb.ModelMetadataRequest, call: Call
    ) -> pb.ModelMetadataResponse:
        """Describe a model's own inputs and outputs."""
        model = await find_model(self.store, call.caller, request.name, request.version)
        call.model = model.id
        return model_metadata(model, self.store.entries())

    async def model_config(
        self, request: pb.ModelConfigRequest, call: Call
    ) -> pb.ModelConfigResponse:
        """Describe how a model is served, and what explains it."""
        model = await find_model(self.store, call.caller, request.name, request.version)
        call.model = model.id
        # What a model's methods are is found out when first asked, by a walk over its graph.
        config = await asyncio.to_thread(model_config, model)
        return pb.ModelConfigResponse(config=config)

    async def model_statistics(
        self, request: pb.ModelStatisticsRequest, call: Call
    ) -> pb.ModelStatisticsResponse:
        """Say how often the models answered, and how long each step took."""
        if request.name:
            call.caller.check_model(request.name)
        found = statistics_response(self.store, self.statistics, request.name, request.version)
        shown = [each for each in found.model_stats if call.caller.sees(each.name)]
        return pb.ModelStatisticsResponse(model_stats=shown)

    async def model_infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """Predict, and explain where that is asked for."""
        return await self.infer.answer(request, call)


def _version() -> str:
    try:
        return version("candor")
    except PackageNotFoundError:
        # Run from the source tree, not installed.
        return "0+source"
