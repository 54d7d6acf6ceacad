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
    numpy_helper,
)
from onnx.shape_inference import InferenceError, infer_node_outputs

__all__ = ["FLOATS", "Shape", "infer", "merge", "shape_of_type", "tensor_type"]

Shape = tuple[int | str | None, ...]

FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
)

_LIKE_FIRST = frozenset({"Celu", "GroupNormalization"})  # ONNX infers nothing here, or for float32

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
    if node.op_type in _LIKE_FIRST and not node.domain:
        return {node.output[0]: types[named[0]]}
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
