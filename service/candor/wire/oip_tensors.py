"""Tensors of the Open Inference Protocol to numpy and back.

Raw and typed contents are both read; the answer is always raw, which is all that the widespread
clients decode. An array that leaves here has exactly the elements that its shape announces.
"""

import math
from collections.abc import Iterable
from types import MappingProxyType

import numpy as np

from candor.errors import InvalidInput
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.tensors import join_elements, shape_of, split_elements, view
from candor.result import Array
from candor.runtime.specs import DTYPES, datatype_of

__all__ = ["add_output", "classify", "read_inputs"]

_Input = pb.ModelInferRequest.InferInputTensor

_CONTENTS = MappingProxyType(
    {
        "BOOL": "bool_contents",
        "INT8": "int_contents",
        "INT16": "int_contents",
        "INT32": "int_contents",
        "INT64": "int64_contents",
        "UINT8": "uint_contents",
        "UINT16": "uint_contents",
        "UINT32": "uint_contents",
        "UINT64": "uint64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "BYTES": "bytes_contents",
    }
)
# Integers shorter than the field that carries them, which may hold what does not fit.
_NARROW = frozenset({"INT8", "INT16", "UINT8", "UINT16"})


def read_inputs(request: pb.ModelInferRequest) -> dict[str, Array]:
    """Read all inputs by name; numbers in raw contents become read-only views.

    Raises:
        InvalidInput: contents of both kinds, or too few or many; an unknown datatype; an impossible
            shape; another number of bytes or elements than the shape takes; a name given twice.
    """
    # Each access to an element of the field makes a new bytes object: once only.
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(
            f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs; "
            "expected one for each input, in their order"
        )
    arrays: dict[str, Array] = {}
    for position, tensor in enumerate(request.inputs):
        _check(tensor)
        if tensor.name in arrays:
            raise InvalidInput(f"input '{tensor.name}' is given twice")
        array = _from_raw(tensor, raw[position]) if raw else _from_contents(tensor)
        arrays[tensor.name] = array
    return arrays


def _check(tensor: _Input) -> None:
    if tensor.datatype not in DTYPES:
        raise InvalidInput(
            f"input '{tensor.name}' has datatype '{tensor.datatype}'; there are {', '.join(DTYPES)}"
        )
    if any(key.startswith("shared_memory_") for key in tensor.parameters):
        raise InvalidInput(
            f"input '{tensor.name}' lies in shared memory, which candor does not serve; "
            "send its contents"
        )


def _from_raw(tensor: _Input, raw: bytes) -> Array:
    what = f"input '{tensor.name}'"
    if tensor.HasField("contents"):
        raise InvalidInput(
            f"contents field must not be specified when using raw_input_contents for {what}"
        )
    shape = shape_of(tensor.shape, what)
    if tensor.datatype == "BYTES":
        return split_elements(raw, shape, what)
    return view(raw, DTYPES[tensor.datatype].numpy, shape, what)


def _from_contents(tensor: _Input) -> Array:
    what = f"input '{tensor.name}'"
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        raise InvalidInput(f"{what} is {tensor.datatype}, which travels in raw_input_contents only")
    shape = shape_of(tensor.shape, what)
    elements = getattr(tensor.contents, field)
    if len(elements) != math.prod(shape):
        raise InvalidInput(
            f"{what} has {len(elements)} elements in contents.{field}; "
            f"{tensor.datatype} of shape {list(shape)} takes {math.prod(shape)}"
        )
    dtype = DTYPES[tensor.datatype].numpy
    if tensor.datatype in _NARROW:
        return _narrowed(elements, tensor.datatype, what).reshape(shape)
    return np.fromiter(elements, dtype, count=len(elements)).reshape(shape)


def _narrowed(elements: Iterable[int], datatype: str, what: str) -> Array:
    wide = np.fromiter(elements, np.int64)
    limits = np.iinfo(DTYPES[datatype].numpy)
    outside = wide[(wide < limits.min) | (wide > limits.max)]
    if outside.size:
        raise InvalidInput(
            f"{what} holds {outside[0]}; {datatype} goes from {limits.min} to {limits.max}"
        )
    return wide.astype(limits.dtype)


def add_output(response: pb.ModelInferResponse, name: str, array: Array) -> None:
    """Append an output with its raw contents.

    Raises:
        InvalidInput: an element type for which the protocol has no name.
    """
    datatype = datatype_of(array.dtype)
    if not datatype:
        raise InvalidInput(f"output '{name}' is {array.dtype}, for which the protocol has no name")
    response.outputs.add(name=name, datatype=datatype, shape=array.shape)
    raw = join_elements(map(_as_bytes, array.reshape(-1))) if datatype == "BYTES" else None
    response.raw_output_contents.append(array.tobytes() if raw is None else raw)


def classify(name: str, array: Array, k: int, labels: tuple[str, ...]) -> Array:
    """Replace an output by its k best classes: text [n, k], `value:index` or `value:index:label`.

    Raises:
        InvalidInput: k below 1, or an output without classes.
    """
    if k < 1:
        raise InvalidInput(f"classification of output '{name}' is {k}; expected 1 or more")
    if array.ndim == 0 or array.dtype.kind not in "fiu":
        raise InvalidInput(f"output '{name}' is {array.dtype} {list(array.shape)}: no classes")
    rows = array.reshape(array.shape[0], -1) if array.ndim > 1 else array.reshape(1, -1)
    best = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :k]
    text = np.empty(best.shape, dtype=np.object_)
    for (row, rank), index in np.ndenumerate(best):
        label = f":{labels[index]}" if index < len(labels) else ""
        text[row, rank] = f"{rows[row, index]:f}:{index}{label}".encode()
    return text if array.ndim > 1 else text[0]


def _as_bytes(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()
