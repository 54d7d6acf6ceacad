"""Types of values: element type and shape, and what a single node makes of them."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from onnx import (
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    TypeProto,
    checker,
    defs,
    helper,
    numpy_helper,
)
from onnx.shape_inference import InferenceError, infer_node_outputs

from candor.autodiff.quantised import Reading, reading

__all__ = [
    "FLOATS",
    "Shape",
    "held_by",
    "infer",
    "merge",
    "shape_of_type",
    "spelled",
    "tensor_type",
]

Shape = tuple[int | str | None, ...]

FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
)

# ONNX infers nothing here, or for float32.
_LIKE_FIRST = frozenset({"Celu", "GroupNormalization", "MeanVarianceNormalization"})

_SCALERS = frozenset({"Normalizer", "Scaler"})  # and nothing of these

_CONTRIBUTED = "com.microsoft"

_QUANTISERS = frozenset({"DequantizeLinear", "QuantizeLinear"})

_SHAPE_SIZED = 64  # constants up to this size may be shapes, axes or pads that inference reads


def tensor_type(dtype: int, shape: Sequence[int | str | None]) -> TypeProto:
    """Describe a tensor; None is an axis of unknown extent."""
    made = TypeProto()
    made.tensor_type.elem_type = dtype
    made.tensor_type.shape.SetInParent()
    for extent in shape:
        axis = made.tensor_type.shape.dim.add()
        if isinstance(extent, str):
            axis.dim_param = extent
        elif extent is not None:
            axis.dim_value = int(extent)
    return made


def shape_of_type(known: TypeProto | None) -> Shape | None:
    """Read the shape out of a type; None if not even the rank is known."""
    if known is None or not known.tensor_type.HasField("shape"):
        return None
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
        for axis in known.tensor_type.shape.dim
    )


def spelled(shape: Shape | None) -> str:
    """Write a shape for a message: "[n, 3, ?]"."""
    if shape is None:
        return "of unknown rank"
    # An exporter's names for free extents ("s77", "Softmaxlogits_dim_1") tell a caller nothing.
    return "[" + ", ".join(_extent(axis, extent) for axis, extent in enumerate(shape)) + "]"


def _extent(axis: int, extent: int | str | None) -> str:
    if isinstance(extent, int):
        return str(extent)
    return "?" if axis else "n"


def held_by(constant: NodeProto) -> TensorProto | None:
    """Return what a Constant node holds, in whichever of its attributes; None of sparse ones."""
    for attribute in constant.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name in _NUMBERS:
            dtype = _NUMBERS[attribute.name]
            array = np.array(helper.get_attribute_value(attribute), dtype)
            return numpy_helper.from_array(array, constant.output[0])
    return None


_NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def merge(first: TypeProto | None, second: TypeProto) -> TypeProto:
    """Combine what is known of one value: an extent beats a symbol, a symbol beats nothing."""
    one, two = shape_of_type(first), shape_of_type(second)
    if first is None or one is None or two is None or len(one) != len(two):
        return second if one is None or first is None else first
    if one == two:
        return first
    extents = [
        a if isinstance(a, int) else b if isinstance(b, int) else a or b
        for a, b in zip(one, two, strict=True)
    ]
    return tensor_type(second.tensor_type.elem_type, extents)


def infer(
    node: NodeProto,
    types: dict[str, TypeProto],
    constant: Callable[[str], np.ndarray | None],
    opsets: list[OperatorSetIdProto],
) -> dict[str, TypeProto]:
    """Infer the types of a node's outputs from those of its inputs; {} where ONNX cannot."""
    version = next((o.version for o in opsets if o.domain == node.domain), None)
    named = [name for name in node.input if name]
    if version is None or any(name not in types for name in named):
        return {}
    if node.domain == _CONTRIBUTED:
        return _infer_contributed(node, types, constant, opsets)
    if node.op_type in _LIKE_FIRST and not node.domain:
        return {node.output[0]: types[named[0]]}
    if node.op_type in _SCALERS and node.domain == "ai.onnx.ml":
        return {node.output[0]: _as_type(types[named[0]], TensorProto.FLOAT)}
    try:
        return infer_node_outputs(
            _schema(node.op_type, version, node.domain),
            node,
            {name: types[name] for name in named},
            {name: data for name in named if (data := _small(constant, types, name)) is not None},
            opset_imports=opsets,
        )
    except (InferenceError, checker.ValidationError, defs.SchemaError, RuntimeError):
        return {}


def _infer_contributed(
    node: NodeProto,
    types: dict[str, TypeProto],
    constant: Callable[[str], np.ndarray | None],
    opsets: list[OperatorSetIdProto],
) -> dict[str, TypeProto]:
    """Infer what an operator of ONNX Runtime's own writes, where it quantises."""
    if node.op_type in _QUANTISERS:
        like = node.input[2] if len(node.input) > 2 and node.op_type == "QuantizeLinear" else ""
        dtype = types[like or node.input[1]].tensor_type.elem_type
        return {node.output[0]: _as_type(types[node.input[0]], dtype)}
    read = reading(node)
    if read is None or any(a.name == "channels_last" and a.i for a in node.attribute):
        return {}
    twin = _float_twin(node, read)
    data = twin.input[len(read.plain) :]
    floats = {name: _as_type(types[name], TensorProto.FLOAT) for name in data}
    known = infer(twin, types | floats, constant, opsets).get(node.output[0])
    if known is None:
        return {}
    scaled = read.result is not None and len(node.input) > read.result.scale
    source = types[node.input[read.data[0].value]].tensor_type.elem_type
    return {node.output[0]: _as_type(known, source if scaled else TensorProto.FLOAT)}


def _float_twin(node: NodeProto, read: Reading) -> NodeProto:
    names = [node.input[index] for index in read.plain]
    names += [node.input[quantity.value] for quantity in read.data]
    twin = helper.make_node(read.op_type, names, [node.output[0]])
    twin.attribute.extend(a for a in node.attribute if a.name not in {"channels_last", "opset"})
    return twin


def _as_type(known: TypeProto, dtype: int) -> TypeProto:
    shape = shape_of_type(known)
    return (
        TypeProto(tensor_type=TypeProto.Tensor(elem_type=dtype))
        if shape is None
        else (tensor_type(dtype, shape))
    )


@cache
def _schema(op_type: str, version: int, domain: str) -> defs.OpSchema:
    return defs.get_schema(op_type, version, domain)


def _small(
    constant: Callable[[str], np.ndarray | None], types: dict[str, TypeProto], name: str
) -> TensorProto | None:
    shape = shape_of_type(types[name])
    if shape is None or len(shape) > 1 or not all(isinstance(d, int) for d in shape):
        return None
    array = constant(name)
    if array is None or array.size > _SHAPE_SIZED:
        return None
    return numpy_helper.from_array(array, name)
