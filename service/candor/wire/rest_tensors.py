"""Tensors of the Open Inference Protocol in JSON, and, beside it, in binary.

A body is a JSON object; where the header `Inference-Header-Content-Length` gives its length, the
tensors that name a `binary_data_size` follow it, in their order, as gRPC's raw contents. Answers
are written the same way, for the outputs whose `binary_data` is asked for.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from candor.errors import InvalidArgument, InvalidInput
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.tensors import join_elements, shape_of, split_elements
from candor.result import Array
from candor.runtime.specs import DTYPES
from candor.wire.oip_parameters import PREFIX
from candor.wire.rest_json import (
    field,
    flag,
    parameter_values,
    read_document,
    set_parameters,
    text,
)

__all__ = ["HEADER", "Binary", "array_of", "listed", "read_infer", "write_infer"]

HEADER: Final = "inference-header-content-length"
_BINARY_SIZE: Final = "binary_data_size"
# JSON has no spelling for these that all clients agree on.
_BINARY_ONLY: Final = frozenset({"FP16", "BF16"})


class Binary:
    """Which outputs are answered in binary."""

    def __init__(self, *, default: bool, outputs: dict[str, bool]) -> None:
        self._default = default
        self._outputs = outputs

    def __call__(self, name: str) -> bool:
        """Whether this one is."""
        return self._outputs.get(name, self._default)


def read_infer(
    body: bytes, header_length: int | None, name: str, version: str
) -> tuple[pb.ModelInferRequest, Binary]:
    """Read a request for inference.

    Args:
        body: JSON, and what follows it.
        header_length: bytes of the JSON; None for all of the body.
        name: of the model, as the path has it.
        version: likewise; "" for the one that is served.

    Raises:
        InvalidArgument: it is malformed; the message names the place.
    """
    head = body if header_length is None else body[:header_length]
    tail = memoryview(b"" if header_length is None else body)[header_length or 0 :]
    if header_length is not None and header_length > len(body):
        raise InvalidArgument(f"{HEADER} is {header_length}; the body has {len(body)} bytes")
    document = read_document(head)
    request = pb.ModelInferRequest(model_name=name, model_version=version)
    request.id = field(document, "id", str, "", "")
    parameters = field(document, "parameters", dict, "", {})
    default = flag(parameters, "binary_data_output", "parameters.", default=False)
    skip = frozenset({"binary_data_output"})
    set_parameters(request.parameters, parameters, "parameters", skip)
    for place, tensor in _objects(document, "inputs"):
        tail = _read_input(request, tensor, place, tail)
    if len(tail):
        raise InvalidArgument(f"{len(tail)} bytes follow the last tensor; expected none")
    outputs: dict[str, bool] = {}
    for place, wanted in _objects(document, "outputs"):
        output = request.outputs.add(name=field(wanted, "name", str, place, ""))
        options = field(wanted, "parameters", dict, place, {})
        outputs[output.name] = flag(options, "binary_data", f"{place}parameters.", default=default)
        skip = frozenset({"binary_data"})
        set_parameters(output.parameters, options, f"{place}parameters", skip)
    return request, Binary(default=default, outputs=outputs)


def write_infer(response: pb.ModelInferResponse, binary: Binary) -> tuple[bytes, int | None]:
    """Write an answer.

    Returns:
        The body, and the length of the JSON in it where something follows.

    Raises:
        InvalidInput: an output that JSON cannot hold.
    """
    outputs, tail = [], []
    raws = list(response.raw_output_contents)
    for output, raw in zip(response.outputs, raws, strict=True):
        written: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if binary(output.name):
            written["parameters"] = {_BINARY_SIZE: len(raw)}
            tail.append(raw)
        else:
            written["data"] = _data(output.name, output.datatype, tuple(output.shape), raw)
        outputs.append(written)
    document: dict[str, Any] = {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "outputs": outputs,
    }
    if response.id:
        document["id"] = response.id
    if response.parameters:
        document["parameters"] = parameter_values(response.parameters)
    head = json.dumps(document, separators=(",", ":")).encode()
    return b"".join([head, *tail]), len(head) if tail else None


def array_of(data: Any, datatype: str, what: str) -> Array:
    """JSON numbers, flat or nested, as an array of a data type; its shape is theirs.

    Raises:
        InvalidInput: they are no numbers of this type, or rows of unlike length.
    """
    dtype = DTYPES[datatype].numpy
    try:
        found = np.asarray(data)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{what} is not a tensor: {error}") from error
    allowed = {"b": "b", "i": "iu", "u": "iu"}.get(dtype.kind, "iuf")
    if found.size and found.dtype.kind not in allowed:
        raise InvalidInput(f"{what} holds what is no {datatype}; expected numbers of that type")
    if dtype.kind in "iu" and found.size:
        limits, low, high = np.iinfo(dtype), int(found.min()), int(found.max())
        if low < limits.min or high > limits.max:
            beyond = low if low < limits.min else high
            raise InvalidInput(
                f"{what} holds {beyond}; {datatype} goes from {limits.min} to {limits.max}"
            )
    with np.errstate(over="ignore"):
        return found.astype(dtype)


def listed(name: str, array: Array) -> list[Any]:
    """Numbers as JSON has them: rows that were not explained are null, it has no NaN."""
    ours = name.startswith(PREFIX) and array.dtype.kind == "f"
    if ours and (missing := np.isnan(array)).any():
        array = array.astype(object)
        array[missing] = None
    found: list[Any] = array.tolist()
    return found


def _objects(document: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for position, item in enumerate(field(document, name, list, "", [])):
        if not isinstance(item, dict):
            raise InvalidArgument(f"{name}[{position}] is no object; expected one with a name")
        yield f"{name}[{position}].", item


def _read_input(
    request: pb.ModelInferRequest, tensor: dict[str, Any], place: str, tail: memoryview
) -> memoryview:
    """Add an input; what is left of the binary part."""
    name = field(tensor, "name", str, place, "")
    datatype = field(tensor, "datatype", str, place, "")
    axes = field(tensor, "shape", list, place, [])
    if "shape" not in tensor or any(type(axis) is not int for axis in axes):
        raise InvalidArgument(f"{place}shape is missing, or no list of whole numbers")
    if datatype not in DTYPES:
        raise InvalidInput(f"{place}datatype is '{datatype}'; there are {', '.join(DTYPES)}")
    shape = shape_of(axes, f"input '{name}'")
    parameters = field(tensor, "parameters", dict, place, {})
    added = request.inputs.add(name=name, datatype=datatype, shape=shape)
    where = f"{place}parameters"
    set_parameters(added.parameters, parameters, where, frozenset({_BINARY_SIZE}))
    if _BINARY_SIZE not in parameters:
        if "data" not in tensor:
            if any(key.startswith("shared_memory_") for key in parameters):
                return tail  # `oip_tensors` says what to do instead
            raise InvalidArgument(f"{place}data is missing, and so is {where}.{_BINARY_SIZE}")
        request.raw_input_contents.append(_raw(tensor["data"], datatype, shape, name))
        return tail
    if "data" in tensor:
        raise InvalidArgument(f"{place}data is given beside {_BINARY_SIZE}; expected one of them")
    size = field(parameters, _BINARY_SIZE, int, f"{where}.", 0)
    if not 0 <= size <= len(tail):
        raise InvalidArgument(f"{where}.{_BINARY_SIZE} is {size}; {len(tail)} bytes are left")
    request.raw_input_contents.append(bytes(tail[:size]))
    return tail[size:]


def _raw(data: Any, datatype: str, shape: tuple[int, ...], name: str) -> bytes:
    what = f"input '{name}'"
    if datatype in _BINARY_ONLY:
        raise InvalidInput(f"{what} is {datatype}, which travels in binary only; see {HEADER}")
    if datatype == "BYTES":
        elements = [text(each, what).encode() for each in _texts(data, what)]
        count, raw = len(elements), join_elements(elements)
    else:
        array = array_of(data, datatype, what)
        count, raw = array.size, array.tobytes()
    if count != math.prod(shape):
        raise InvalidInput(
            f"{what} has {count} elements in data; shape {list(shape)} takes {math.prod(shape)}"
        )
    return raw


def _texts(data: Any, what: str) -> Iterator[str]:
    """The texts of nested lists, in order."""
    left = [data]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left.extend(reversed(item))
        elif isinstance(item, str):
            yield item
        else:
            raise InvalidInput(f"{what} is BYTES and holds what is no text")


def _data(name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        return listed(name, np.frombuffer(raw, DTYPES[datatype].numpy))
    try:
        return [each.decode() for each in split_elements(raw, shape, name).reshape(-1)]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"output '{name}' is not UTF-8 and cannot be JSON; ask for it with binary_data"
        ) from error
