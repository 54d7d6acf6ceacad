"""The repository over the Open Inference Protocol: what it holds, load, unload.

Loading is the operator's to allow (`repository_mode` = `explicit`): a model is read from the disk
and run. What a request may not do is bring its own configuration or files.
"""

import asyncio
from dataclasses import dataclass

from candor.errors import InvalidOption, Unavailable
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.runtime.model import Model
from candor.runtime.shelf import Entry
from candor.wire.call import Call
from candor.wire.callers import Caller
from candor.wire.calls import Routes
from candor.wire.lookup import Models, seen

__all__ = ["Repository"]

_DEPENDENTS = "unload_dependents"


@dataclass(frozen=True, slots=True)
class Repository:
    """The handlers.

    Attributes:
        control: whether models may be loaded and unloaded on request.
    """

    store: Models
    control: bool = False

    def routes(self) -> Routes:
        """Handler by name of the method."""
        return {
            "RepositoryIndex": self.index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }

    async def index(
        self, request: pb.RepositoryIndexRequest, call: Call
    ) -> pb.RepositoryIndexResponse:
        """List what the repository holds."""
        lines = (_line(entry, self.store) for entry in seen(self.store, call.caller))
        return pb.RepositoryIndexResponse(
            models=[line for line in lines if line.state == "READY" or not request.ready]
        )

    async def load(
        self, request: pb.RepositoryModelLoadRequest, call: Call
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, anew where it is loaded; requests meanwhile go to what is served.

        Raises:
            Unavailable: not allowed here.
            PermissionDenied: not to this caller.
            InvalidOption: a parameter; there are none.
            NotFound, InvalidModel: there is no such model, or it is broken.
        """
        name = self._allowed(request, call.caller)
        for parameter in request.parameters:
            raise InvalidOption(
                f"the parameter '{parameter}' of load is not taken: candor reads configuration and "
                "files from the model's folder only; change model.toml or model.onnx there"
            )
        model = await asyncio.to_thread(self.store.load, name)
        call.model = model.id
        return pb.RepositoryModelLoadResponse(model_name=name, is_loaded=True)

    async def unload(
        self, request: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        """Serve a model no more; requests in flight are finished.

        Raises:
            Unavailable: not allowed here.
            PermissionDenied: not to this caller.
            InvalidOption: a parameter other than `unload_dependents`, which changes nothing: no
                model of candor's depends on another.
            NotFound: there is no such model.
        """
        name = self._allowed(request, call.caller)
        for parameter in request.parameters:
            if parameter != _DEPENDENTS:
                raise InvalidOption(
                    f"the parameter '{parameter}' of unload does not exist; there is {_DEPENDENTS}"
                )
        await asyncio.to_thread(self.store.unload, name)
        return pb.RepositoryModelUnloadResponse(model_name=name, is_unloaded=True)

    def _allowed(
        self,
        request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
        caller: Caller,
    ) -> str:
        if not self.control:
            raise Unavailable(
                "explicit model load / unload is not allowed: start candor with "
                "--repository-mode explicit"
            )
        caller.check_control()
        # KServe's client writes the model where others write the repository.
        name = request.model_name or request.repository_name
        if not name:
            raise InvalidOption("model_name is empty; expected the name of a model's folder")
        caller.check_model(name)
        return name


def _line(entry: Entry[Model], store: Models) -> pb.RepositoryIndexResponse.ModelIndex:
    state = "READY" if entry.state == "ready" else "UNAVAILABLE"
    if state != "READY" and entry.name == store.loading:
        state = "LOADING"
    elif state != "READY" and store.leaving(entry.name, entry.version):
        state = "UNLOADING"
    return pb.RepositoryIndexResponse.ModelIndex(
        name=entry.name, version=entry.version, state=state, reason=entry.reason
    )
