"""A body that is one tensor, or one picture or text, and nothing else: for curl.

`Inference-Header-Content-Length: 0` says so. The model has one input; the number of its rows, or
the length of one row, is found from the length of the body. Request parameters stand in the query.
"""

import math
from collections.abc import Mapping

from candor.errors import InvalidInput
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.protocol.tensors import join_elements
from candor.runtime.inputs import ImageInput, TokensInput
from candor.runtime.model import Model
from candor.runtime.specs import DTYPES, TensorSpec

__all__ = ["read_raw"]


def read_raw(
    model: Model, version: str, body: bytes, query: Mapping[str, str]
) -> pb.ModelInferRequest:
    """Make a request of a bare body.

    Raises:
        InvalidInput: the model has several inputs, or the body is no whole number of rows.
    """
    request = pb.ModelInferRequest(model_name=model.id.name, model_version=version)
    spec, prepared = _only_input(model), isinstance(model.manifest.input, ImageInput | TokensInput)
    if prepared or spec.datatype == "BYTES":
        shape = [1] if prepared else [1] * len(spec.shape)
        request.inputs.add(name=spec.name, datatype="BYTES", shape=shape)
        request.raw_input_contents.append(join_elements([body]))
    else:
        request.inputs.add(name=spec.name, datatype=spec.datatype, shape=_shape(spec, len(body)))
        request.raw_input_contents.append(body)
    for parameter, value in query.items():
        request.parameters[parameter].string_param = value
    return request


def _only_input(model: Model) -> TensorSpec:
    if len(model.inputs) != 1:
        names = ", ".join(spec.name for spec in model.inputs)
        raise InvalidInput(f"a bare body is one input; model '{model.id.name}' has {names}")
    return model.inputs[0]


def _shape(spec: TensorSpec, n_bytes: int) -> tuple[int, ...]:
    sizes = list(spec.shape)
    if sizes.count(-1) == 2 and sizes[0] == -1:
        sizes[0] = 1  # one row, of the length that its bytes have
    row = DTYPES[spec.datatype].numpy.itemsize * math.prod(size for size in sizes if size >= 0)
    if sizes.count(-1) > 1 or not row or n_bytes % row or (-1 not in sizes and n_bytes != row):
        raise InvalidInput(
            f"the body has {n_bytes} bytes; input '{spec.name}' is {spec.datatype} "
            f"{list(spec.shape)}, of which a bare body gives one size that is free (-1)"
        )
    return tuple(n_bytes // row if size < 0 else size for size in sizes)
