"""A model without its weights: what is read, checked and converted need not carry them along.

ONNX's checker, inliner, converter and shape inference take a model by its bytes, weights and all,
and give it back so. Of a large tensor none of them needs more than its type.
"""

import math
from typing import Final

from onnx import GraphProto, ModelProto, TensorProto, helper

from candor.autodiff.assemble import declared
from candor.autodiff.values import tensor_type
from candor.errors import InvalidModel

__all__ = ["lightened"]

_LARGE: Final = 512  # elements; shapes, axes, pads and scales are smaller, and may be looked at


def lightened(model: ModelProto) -> tuple[ModelProto, dict[str, TensorProto]]:
    """Return a copy in which large weights are inputs of the graph, and these weights by name.

    The weights are those of the model, not copies. Inputs stay where they are listed already, as
    older models do with all of their weights.

    Raises:
        InvalidModel: a weight has more or fewer bytes than its type and shape ask for.
    """
    large = {t.name: t for t in model.graph.initializer if math.prod(t.dims) > _LARGE}
    for tensor in large.values():
        _check_size(tensor)
    light = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.metadata_props.extend(model.metadata_props)
    _copy_graph(model.graph, light.graph, large)
    listed = {value.name for value in model.graph.input}
    types = {name: tensor_type(t.data_type, t.dims) for name, t in large.items()}
    light.graph.input.extend(declared({n: types[n] for n in types if n not in listed}))
    return light, large


def _copy_graph(source: GraphProto, target: GraphProto, left_out: dict[str, TensorProto]) -> None:
    target.name = source.name or "graph"
    target.node.extend(source.node)
    target.input.extend(source.input)
    target.output.extend(source.output)
    target.initializer.extend(t for t in source.initializer if t.name not in left_out)
    target.sparse_initializer.extend(source.sparse_initializer)


def _check_size(tensor: TensorProto) -> None:
    """Look at the bytes of a weight, as the checker does; other forms than bytes are rare."""
    if not tensor.HasField("raw_data"):
        return
    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise InvalidModel(f"not a valid ONNX model: weight '{tensor.name}' has no type") from error
    count = math.prod(tensor.dims)
    if tensor.data_type in _NARROW:
        return
    if (found := len(tensor.raw_data)) != count * width:
        raise InvalidModel(
            f"not a valid ONNX model: weight '{tensor.name}' {list(tensor.dims)} has {found} bytes "
            f"instead of {count * width}"
        )


_NARROW: Final = frozenset(
    {TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1}
    | {getattr(TensorProto, name) for name in ("INT2", "UINT2") if hasattr(TensorProto, name)}
)
"""Types of which a byte holds several."""
