"""KServe's first protocol: `/v1/models/<name>:predict` and `:explain`, rows in, rows out.

    {"instances": [row, ...], "parameters": {"candor.explain": "lime", ...}}

A row is a nested list of numbers, a text, a picture as {"b64": "..."}, or, for several inputs, an
object with one of these for each. `:explain` without a method takes the first of `grad_cam`,
`gradient` and `lime` that explains the model.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor.errors import InvalidArgument, InvalidInput, Unsupported
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.tensors import join_elements, split_elements
from candor.result import Array
from candor.runtime.model import Model
from candor.runtime.specs import DTYPES
from candor.wire.call import Call
from candor.wire.http_frame import Rest
from candor.wire.lookup import find_model, seen
from candor.wire.offload import offloaded
from candor.wire.oip import Inference
from candor.wire.oip_parameters import PREFIX
from candor.wire.rest_json import field, read_document, set_parameters, text
from candor.wire.rest_tensors import array_of, listed

__all__ = ["KserveRest"]

_METHODS: Final = ("grad_cam", "gradient", "lime")
_MODEL: Final = "/v1/models/{name}"


@dataclass(frozen=True, slots=True)
class KserveRest:
    """The routes, over what answers the Open Inference Protocol."""

    inference: Inference
    rest: Rest

    def routes(self) -> list[Route]:
        """All routes, in the order in which they are tried."""
        handlers = (
            ("GET", "/v1/models", self.names),
            ("POST", f"{_MODEL}:predict", partial(self.answer, explain=False)),
            ("POST", f"{_MODEL}:explain", partial(self.answer, explain=True)),
            ("GET", _MODEL, self.ready),
        )
        return [
            Route(path, self.rest.endpoint(handler, f"{verb} {path}"), methods=[verb])
            for verb, path, handler in handlers
        ]

    async def names(self, _: Request, __: bytes, call: Call) -> Response:
        """List the models that are served."""
        entries = seen(self.inference.store, call.caller)
        served = {entry.name for entry in entries if entry.state == "ready"}
        return JSONResponse({"models": sorted(served)})

    async def ready(self, request: Request, _: bytes, call: Call) -> Response:
        """Say whether a model takes requests: 200, 503, or 404 where there is none."""
        name = request.path_params["name"]
        await find_model(self.inference.store, call.caller, name, "")
        asked = pb.ModelReadyRequest(name=name)
        ready = (await self.inference.model_ready(asked, call)).ready
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    async def answer(self, request: Request, body: bytes, call: Call, *, explain: bool) -> Response:
        """Predict every row, and explain it."""
        call.methods = ("predict",)
        model = await find_model(self.inference.store, call.caller, request.path_params["name"], "")
        call.model = model.id
        read = partial(_read, body, model, explain=explain)
        asked = await offloaded(read, large=call.large)
        found = await self.inference.infer.answer(asked, call)
        content = await offloaded(partial(_write, found), large=call.large)
        return Response(content, media_type="application/json")


def _read(body: bytes, model: Model, *, explain: bool) -> pb.ModelInferRequest:
    document = read_document(body)
    if "instances" not in document:
        raise InvalidArgument("instances is missing; expected a list with one item a row")
    rows = field(document, "instances", list, "", [])
    parameters = field(document, "parameters", dict, "", {})
    request = pb.ModelInferRequest(model_name=model.id.name)
    set_parameters(request.parameters, parameters, "parameters")
    if explain and not parameters.get(f"{PREFIX}explain"):
        request.parameters[f"{PREFIX}explain"].string_param = _default(model)
    for name, values in _columns(rows, model).items():
        _add_input(request, name, values, model)
    return request


def _default(model: Model) -> str:
    for method in _METHODS:
        if model.methods[method] is None:
            return method
    raise Unsupported(f"model '{model.id.name}' is not explained: {model.methods[_METHODS[-1]]}")


def _columns(rows: Sequence[Any], model: Model) -> dict[str, list[Any]]:
    """The values of all rows by name of the input."""
    first = model.inputs[0].name
    if not (rows and isinstance(rows[0], dict) and "b64" not in rows[0]):
        return {first: list(rows)}
    names = list(rows[0])
    for position, row in enumerate(rows):
        if not isinstance(row, dict) or list(row) != names:
            raise InvalidArgument(
                f"instances[{position}] has not the inputs of the first, {', '.join(names)[:200]}"
            )
    return {text(name, "instances[0]"): [row[name] for row in rows] for name in names}


def _add_input(
    request: pb.ModelInferRequest, name: str, values: Sequence[Any], model: Model
) -> None:
    what = f"input '{name}'"
    spec = next((spec for spec in model.inputs if spec.name == name), model.inputs[0])
    if spec.datatype == "BYTES" or any(isinstance(value, str | dict) for value in values):
        elements = [_element(value, what) for value in values]
        # One element a row, in as many axes as the model has.
        axes = max(1, len(spec.shape)) if spec.datatype == "BYTES" else 1
        shape = [len(elements), *[1] * (axes - 1)]
        request.inputs.add(name=name, datatype="BYTES", shape=shape)
        request.raw_input_contents.append(join_elements(elements))
        return
    array = array_of(list(values), spec.datatype, what)
    request.inputs.add(name=name, datatype=spec.datatype, shape=array.shape)
    request.raw_input_contents.append(array.tobytes())


def _element(value: Any, what: str) -> bytes:
    if isinstance(value, str):
        return text(value, what).encode()
    if isinstance(value, dict) and isinstance(value.get("b64"), str) and len(value) == 1:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(f"{what} is not base64: {error}") from error
    raise InvalidInput(f'{what} mixes what is text or {{"b64": "..."}} with what is not')


def _write(response: pb.ModelInferResponse) -> bytes:
    arrays = {
        output.name: listed(output.name, _array(output, raw))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    own = {name: values for name, values in arrays.items() if not name.startswith(PREFIX)}
    document: dict[str, Any] = {"predictions": _predictions(own)}
    ours = {name: values for name, values in arrays.items() if name.startswith(PREFIX)}
    if ours:
        for name, parameter in response.parameters.items():
            if name.startswith(PREFIX) and name.endswith(".trust"):
                ours[name] = json.loads(parameter.string_param)
        document["explanations"] = _explanations(ours)
        for name in ("model_digest", "cache_status"):
            document[name] = response.parameters[PREFIX + name].string_param
        document["complete"] = response.parameters["candor.complete"].bool_param
        if "candor.views" in response.parameters:
            document["views"] = json.loads(response.parameters["candor.views"].string_param)
    return json.dumps(document, separators=(",", ":")).encode()


def _predictions(columns: Mapping[str, Any]) -> Any:
    """One item a row: the value of the only output, or an object with one for each."""
    if len(columns) == 1:
        return next(iter(columns.values()))
    if not all(isinstance(values, list) for values in columns.values()):
        return [columns]  # an output without rows
    rows = zip(*columns.values(), strict=False)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _explanations(columns: Mapping[str, list[Any]]) -> list[dict[str, dict[str, Any]]]:
    """For each row, by method: `values`, `trust`, and what else belongs to it."""
    rows: list[dict[str, dict[str, Any]]] = [{} for _ in next(iter(columns.values()))]
    for name, values in columns.items():
        method, _, part = name.removeprefix(PREFIX).partition(".")
        for row, value in zip(rows, values, strict=True):
            row.setdefault(method, {})[part or "values"] = value
    return rows


def _array(output: pb.ModelInferResponse.InferOutputTensor, raw: bytes) -> Array:
    shape = tuple(output.shape)
    if output.datatype == "BYTES":
        elements = split_elements(raw, shape, output.name)
        found = np.array([each.decode(errors="replace") for each in elements.flat], dtype=object)
        return found.reshape(shape)
    return np.frombuffer(raw, DTYPES[output.datatype].numpy).reshape(shape)
