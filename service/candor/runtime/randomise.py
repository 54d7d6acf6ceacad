"""A model with some of its layers' weights in a random order, for the randomisation test.

The weights stand in the ONNX file, as initialisers or constants, in subgraphs too. A layer is a
node that multiplies by a matrix of them; vectors that are added or scaled with behind it (biases,
batch normalisation) belong to it. What stands before the first layer is preprocessing, and stays.
"""

import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from candor.result import Array

__all__ = ["WeightLayer", "randomised", "weight_layers"]

_MATRIX_OPERATORS = frozenset(
    {
        "Attention", "Conv", "ConvInteger", "ConvTranspose", "Einsum", "GRU", "Gather", "Gemm",
        "LSTM", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN",
    }
)  # fmt: skip
_FOLLOWERS = frozenset(
    {
        "Add", "BatchNormalization", "Div", "GroupNormalization", "InstanceNormalization",
        "LayerNormalization", "Mul", "PRelu", "RMSNormalization", "SkipLayerNormalization",
        "SimplifiedLayerNormalization", "Sub", "Sum",
    }
)  # fmt: skip
_FLOATS = frozenset(
    {
        onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE,
        onnx.TensorProto.BFLOAT16,
    }
)  # fmt: skip
_QUANTISED = frozenset({onnx.TensorProto.INT8, onnx.TensorProto.UINT8})


@dataclass(frozen=True, slots=True)
class WeightLayer:
    """A layer and its weights.

    Attributes:
        name: of the node, or of its first output where it has none.
        operator: its type.
        tensors: names of the tensors that hold its weights.
    """

    name: str
    operator: str
    tensors: tuple[str, ...]


def weight_layers(proto: onnx.ModelProto) -> tuple[WeightLayer, ...]:
    """The layers of a model from input to output; weights that two share are the later's."""
    tensors = _tensors(proto.graph)
    sources: dict[str, tuple[str, ...]] = {name: (name,) for name in tensors}
    nodes: list[tuple[onnx.NodeProto, tuple[str, ...]]] = []
    for node in proto.graph.node:
        read = list(_reads(node))
        found = tuple(dict.fromkeys(s for name in read for s in sources.get(name, ())))
        if node.input and all(name in sources for name in node.input if name):
            # computed of constants alone: a dequantised or transposed weight
            sources |= dict.fromkeys(node.output, found)
        elif node.op_type != "Constant":
            nodes.append((node, tuple(name for name in found if _is_weight(tensors[name]))))
    layers: list[tuple[onnx.NodeProto, list[str]]] = []
    for node, weights in nodes:
        subgraphs = any(attribute.HasField("g") for attribute in node.attribute)
        matrix = any(len(tensors[name].dims) >= 2 for name in weights)
        if matrix and (subgraphs or node.op_type in _MATRIX_OPERATORS):
            layers.append((node, list(weights)))
        elif layers and node.op_type in _FOLLOWERS:
            layers[-1][1].extend(weights)
    return _without_repetition(layers)


def randomised(proto: onnx.ModelProto, names: Collection[str], seed: int) -> onnx.ModelProto:
    """A copy in which the numbers of some tensors stand in a random order.

    So nothing that was learnt is left, but sizes are: signals keep theirs on the way through,
    variances stay positive, and quantised weights in their range. Matrices of floats of both signs
    get random signs as well, as weights have before they learn: a negative mean, which training
    often leaves, would shut every rectifier behind it. What a tensor becomes depends on its name
    and the seed alone.

    Args:
        proto: the model.
        names: of the tensors, of some of the `weight_layers`.
        seed: of the draws.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for name, tensor in _tensors(copy.graph).items():
        if name in names:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            shuffled = _shuffled(numpy_helper.to_array(tensor), rng)
            tensor.CopyFrom(numpy_helper.from_array(shuffled, tensor.name))
    return copy


def _shuffled(values: Array, rng: np.random.Generator) -> Array:
    shuffled = rng.permutation(values.ravel()).reshape(values.shape)
    if values.ndim < 2 or values.dtype.kind in "iu" or not values.min() < 0 < values.max():
        return shuffled
    return np.asarray(shuffled * rng.choice([-1, 1], values.shape).astype(values.dtype))


def _without_repetition(
    layers: list[tuple[onnx.NodeProto, list[str]]],
) -> tuple[WeightLayer, ...]:
    seen: set[str] = set()
    found = []
    for node, weights in reversed(layers):
        own = tuple(name for name in dict.fromkeys(weights) if name not in seen)
        seen.update(own)
        if own:
            found.append(WeightLayer(node.name or node.output[0], node.op_type, own))
    return tuple(reversed(found))


def _is_weight(tensor: onnx.TensorProto) -> bool:
    """Whether there is anything to shuffle: more than one number, and no shapes or indices."""
    if np.prod(tensor.dims, dtype=np.int64) < 2:
        return False
    return tensor.data_type in _FLOATS or (tensor.data_type in _QUANTISED and len(tensor.dims) > 1)


def _tensors(graph: onnx.GraphProto) -> Mapping[str, onnx.TensorProto]:
    """Initialisers and constants by the name under which nodes read them, in subgraphs too."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                found[node.output[0]] = attribute.t
            if attribute.HasField("g"):
                found |= _tensors(attribute.g)
    return found


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, its subgraphs included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (tensor.name for tensor in attribute.g.initializer)
            for inner in attribute.g.node:
                yield from _reads(inner)
                if inner.op_type == "Constant":
                    yield from inner.output
