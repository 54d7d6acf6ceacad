"""A model and its large weights apart: what is planned, checked and opened need not copy them.

Weights that a message holds are copied whenever it is made, sent on or parsed.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from onnx import ModelProto, StringStringEntryProto, TensorProto

from candor.autodiff.assemble import frame_of

__all__ = ["Program", "apart", "chosen", "separated"]

_LARGE: Final = 2**15  # elements; smaller ones cost less to copy than to hand over

_COMMON: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8}
    | {TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64}
)
"""Types that numpy has of its own."""

_Tensors = Mapping[str, TensorProto]


class Program(NamedTuple):
    """A model, and the weights that it has as external data, shared with others and not copied."""

    model: ModelProto
    weights: _Tensors

    @property
    def size_bytes(self) -> int:
        """Of both."""
        return self.model.ByteSize() + sum(tensor.ByteSize() for tensor in self.weights.values())


def apart(model: ModelProto) -> Program:
    """Return a model with its large weights apart; nodes keep what is in them."""
    light, weights = separated({tensor.name: tensor for tensor in model.graph.initializer})
    frame, source = frame_of(model), model.graph
    frame.functions.extend(model.functions)
    frame.graph.node.extend(source.node)
    frame.graph.initializer.extend(light.values())
    frame.graph.sparse_initializer.extend(source.sparse_initializer)
    frame.graph.input.extend(source.input)
    frame.graph.output.extend(source.output)
    frame.graph.value_info.extend(source.value_info)
    frame.graph.quantization_annotation.extend(source.quantization_annotation)
    return Program(frame, weights)


def separated(tensors: _Tensors) -> tuple[dict[str, TensorProto], dict[str, TensorProto]]:
    """Return all with an empty one for each that is large, and those that are."""
    large = {name: tensor for name, tensor in tensors.items() if _is_large(tensor)}
    empty = {name: _external(tensor) for name, tensor in large.items()}
    return {**tensors, **empty}, large


def chosen(model: ModelProto, weights: _Tensors) -> dict[str, TensorProto]:
    """Return those of the weights that a model has."""
    names = {tensor.name for tensor in model.graph.initializer}
    return {name: tensor for name, tensor in weights.items() if name in names}


def _is_large(tensor: TensorProto) -> bool:
    return math.prod(tensor.dims) > _LARGE and tensor.data_type in _COMMON


def _external(tensor: TensorProto) -> TensorProto:
    kind = TensorProto.EXTERNAL
    empty = TensorProto(name=tensor.name, data_type=tensor.data_type, data_location=kind)
    empty.dims.extend(tensor.dims)
    empty.external_data.append(StringStringEntryProto(key="location", value="apart"))
    return empty
