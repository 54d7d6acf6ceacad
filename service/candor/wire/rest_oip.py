"""The Open Inference Protocol over HTTP, `/v2`: the handlers of the gRPC service, in JSON."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor.errors import InvalidArgument
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.wire.call import Call
from candor.wire.http_frame import Rest
from candor.wire.lookup import find_model, seen
from candor.wire.offload import offloaded
from candor.wire.oip import Inference
from candor.wire.rest_json import field, flag, plain, read_document, text
from candor.wire.rest_raw import read_raw
from candor.wire.rest_tensors import HEADER, Binary, read_infer, write_infer

__all__ = ["OipRest"]

_Ask: TypeAlias = Callable[[Request, bytes, Call], Awaitable[Any]]

_MODEL: Final = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


@dataclass(frozen=True, slots=True)
class OipRest:
    """The routes, over the handlers of the gRPC service."""

    inference: Inference
    rest: Rest

    def routes(self) -> list[Route]:
        """All routes, in the order in which they are tried."""
        return [
            *self._get("/v2", self.metadata),
            *self._get("/v2/health/live", self.live),
            *self._get("/v2/health/ready", self.ready),
            *self._get("/v2/models", self.names),
            *self._get("/v2/models/stats", self.statistics),
            *self._post("/v2/repository/index", self.index),
            *self._post("/v2/repository/models/{name}/load", self.load),
            *self._post("/v2/repository/models/{name}/unload", self.unload),
            *(
                route
                for path in _MODEL
                for route in (
                    *self._get(path, self.model_metadata),
                    *self._get(f"{path}/ready", self.model_ready),
                    *self._get(f"{path}/config", self.model_config),
                    *self._get(f"{path}/stats", self.statistics),
                    *self._post(f"{path}/infer", self.infer),
                )
            ),
        ]

    def _get(self, path: str, handler: _Ask) -> Iterator[Route]:
        yield Route(path, self.rest.endpoint(handler, f"GET {path}"), methods=["GET"])

    def _post(self, path: str, handler: _Ask) -> Iterator[Route]:
        yield Route(path, self.rest.endpoint(handler, f"POST {path}"), methods=["POST"])

    async def metadata(self, _: Request, __: bytes, call: Call) -> Response:
        """Name the server."""
        found = await self.inference.server_metadata(pb.ServerMetadataRequest(), call)
        return JSONResponse(plain(found))

    async def live(self, _: Request, __: bytes, ___: Call) -> Response:
        """Say that the process answers."""
        return JSONResponse({"live": True})

    async def ready(self, _: Request, __: bytes, call: Call) -> Response:
        """Say whether requests are taken: 200 or 503."""
        found = await self.inference.server_ready(pb.ServerReadyRequest(), call)
        return JSONResponse({"ready": found.ready}, 200 if found.ready else 503)

    async def names(self, _: Request, __: bytes, call: Call) -> Response:
        """List the models that are served."""
        entries = seen(self.inference.store, call.caller)
        served = {entry.name for entry in entries if entry.state == "ready"}
        return JSONResponse({"models": sorted(served)})

    async def model_ready(self, request: Request, _: bytes, call: Call) -> Response:
        """Say whether a model takes requests: 200 or 503."""
        name, version = _model(request)
        asked = pb.ModelReadyRequest(name=name, version=version)
        ready = (await self.inference.model_ready(asked, call)).ready
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    async def model_metadata(self, request: Request, _: bytes, call: Call) -> Response:
        """Describe a model's own inputs and outputs."""
        name, version = _model(request)
        asked = pb.ModelMetadataRequest(name=name, version=version)
        return JSONResponse(plain(await self.inference.model_metadata(asked, call)))

    async def model_config(self, request: Request, _: bytes, call: Call) -> Response:
        """Describe how a model is served, and what explains it."""
        name, version = _model(request)
        asked = pb.ModelConfigRequest(name=name, version=version)
        return JSONResponse(plain((await self.inference.model_config(asked, call)).config))

    async def statistics(self, request: Request, _: bytes, call: Call) -> Response:
        """Say how often models answered, and how long each step took."""
        name, version = _model(request)
        asked = pb.ModelStatisticsRequest(name=name, version=version)
        return JSONResponse(plain(await self.inference.model_statistics(asked, call)))

    async def index(self, _: Request, body: bytes, call: Call) -> Response:
        """List what the repository holds."""
        only_ready = flag(read_document(body), "ready", "", default=False)
        asked = pb.RepositoryIndexRequest(ready=only_ready)
        found = await self.inference.repository.index(asked, call)
        return JSONResponse([plain(model) for model in found.models])

    async def load(self, request: Request, body: bytes, call: Call) -> Response:
        """Load a model."""
        asked = pb.RepositoryModelLoadRequest(model_name=_model(request)[0])
        _name_parameters(asked, body)
        await self.inference.repository.load(asked, call)
        return JSONResponse({})

    async def unload(self, request: Request, body: bytes, call: Call) -> Response:
        """Serve a model no more."""
        asked = pb.RepositoryModelUnloadRequest(model_name=_model(request)[0])
        _name_parameters(asked, body)
        await self.inference.repository.unload(asked, call)
        return JSONResponse({})

    async def infer(self, request: Request, body: bytes, call: Call) -> Response:
        """Predict, and explain where that is asked for."""
        call.methods = ("predict",)
        name, version = _model(request)
        length = _header_length(request)
        if length == 0:
            model = await find_model(self.inference.store, call.caller, name, version)
            asked = read_raw(model, version, body, request.query_params)
            binary = Binary(default=False, outputs={})
        else:
            read = partial(read_infer, body, length, name, version)
            asked, binary = await offloaded(read, large=call.large)
        answer = await self.inference.infer.answer(asked, call)
        write = partial(write_infer, answer, binary)
        content, head = await offloaded(write, large=call.large)
        if head is None:
            return Response(content, media_type="application/json")
        headers = {HEADER: str(head)}
        return Response(content, headers=headers, media_type="application/octet-stream")


def _model(request: Request) -> tuple[str, str]:
    return request.path_params.get("name", ""), request.path_params.get("version", "")


def _header_length(request: Request) -> int | None:
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise InvalidArgument(f"{HEADER} is '{given[:40]}'; expected the length of the JSON")
    return int(given)


def _name_parameters(
    asked: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest, body: bytes
) -> None:
    """Only their names matter: those that are taken change nothing."""
    for name in field(read_document(body), "parameters", dict, "", {}):
        asked.parameters[text(name, "parameters")].bool_param = True
