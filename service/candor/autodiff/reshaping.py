"""Shapes that a graph computes itself: what Reshape, Expand and their like are asked to write."""

from typing import Final

from onnx import NodeProto, TypeProto

from candor.autodiff.sizes import Extent, Reader, Sizes, over, product
from candor.autodiff.values import Shape, tensor_type

__all__ = ["types_made"]


def types_made(graph: Reader, node: NodeProto) -> dict[str, TypeProto]:
    """Return the type of a node's result where operands tell its shape; else nothing."""
    made = _shape_made(graph, node)
    dtype = graph.dtype(node.output[0]) if made is not None else 0
    return {node.output[0]: tensor_type(dtype, made)} if made is not None and dtype else {}


def _shape_made(graph: Reader, node: NodeProto) -> Shape | None:
    if node.domain or node.op_type not in _SHAPED_BY:
        return None
    index = _SHAPED_BY[node.op_type]
    asked = graph.sizes(node.input[index]) if len(node.input) > index else None
    if asked is None or node.op_type not in ("Expand", "Reshape"):
        return asked
    before = graph.shape(node.input[0])
    if before is None:
        return None
    return (_expanded if node.op_type == "Expand" else _reshaped)(before, asked, node)


_SHAPED_BY: Final = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1, "Resize": 3}


def _expanded(before: Sizes, asked: Sizes, _: NodeProto) -> Shape:
    width = max(len(before), len(asked))
    pairs = zip(*((1,) * (width - len(part)) + part for part in (before, asked)), strict=True)
    return tuple(
        two if one == 1 else one if two in (1, one) else _fixed(one, two) for one, two in pairs
    )


def _fixed(one: Extent, two: Extent) -> Extent:
    return next((extent for extent in (one, two) if isinstance(extent, int)), None)


def _reshaped(before: Sizes, asked: Sizes, node: NodeProto) -> Shape:
    kept = not any(a.name == "allowzero" and a.i for a in node.attribute)
    made = [
        before[axis] if entry == 0 and kept and axis < len(before) else entry
        for axis, entry in enumerate(asked)
    ]
    if made.count(-1) == 1:
        rest = product([extent for extent in made if extent != -1])
        made[made.index(-1)] = over(product(before), rest)
    return tuple(made)
