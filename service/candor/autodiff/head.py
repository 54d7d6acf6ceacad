"""The head of a network as an exact class activation map needs it: mean over space, then linear."""

from typing import Final, NamedTuple

import numpy as np
from onnx import NodeProto, helper

from candor.autodiff.follow import Layout
from candor.autodiff.graph import Graph
from candor.autodiff.values import FLOATS

__all__ = ["CamHead", "cam_head", "unwrapped"]


class CamHead(NamedTuple):
    """score = mean of `layer` over the axes `averaged`, times `weight` [k, c], plus `bias` [k].

    Of a layer that a mask has multiplied, it is the mean over what the mask keeps. `channel` is
    the layer's axis that the weight multiplies; no bias is zero. `layout` says where the layer
    holds the positions of the input.
    """

    layer: str
    weight: str
    bias: str | None
    averaged: tuple[int, ...]
    channel: int
    layout: Layout = Layout()


class _Linear(NamedTuple):
    """score = weight [k, c] times operand [n, c], plus bias [k]."""

    operand: str
    weight: np.ndarray
    bias: np.ndarray | None


class _Mean(NamedTuple):
    """The mean of a layer over axes."""

    layer: str
    axes: tuple[int, ...]


_RESHAPES: Final = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze"})


def unwrapped(graph: Graph, value: str) -> str:
    """Walk back over operators that only rename or reshape, casts between floats among them."""
    while (node := graph.producer(value)) is not None and _renames(graph, node):
        value = node.input[0]
    return value


def _renames(graph: Graph, node: NodeProto) -> bool:
    if node.op_type == "Cast":
        return FLOATS.issuperset(graph.dtype(name) for name in (node.input[0], node.output[0]))
    return node.op_type in _RESHAPES


def cam_head(graph: Graph, score: str) -> CamHead | str:
    """Return the head, its weights as (new) initialisers, or the reason why there is none."""
    linear = _linear(graph, score)
    pooled = unwrapped(graph, score if linear is None else linear.operand)
    node = graph.producer(pooled)
    mean = None if node is None else _averaged(graph, node) or _masked_mean(graph, node)
    if mean is None:
        found = "an input" if node is None else f"{node.op_type} (node '{node.name or pooled}')"
        what = "scores" if linear is None else "linear layer before the scores"
        return f"the {what} must follow a mean over space; found {found}"
    layer, averaged = mean
    shape = graph.shape(layer) or ()
    rest = [axis for axis in range(len(shape)) if axis not in averaged]
    if len(rest) != 2:
        return f"the mean of '{layer}' leaves {len(rest)} axes, not batch and channels"
    channels = shape[rest[1]]
    weight = linear.weight if linear else _identity(graph, score, channels)
    if weight is None or weight.shape != ((graph.shape(score) or ())[-1], channels):
        return f"the channels of '{layer}' are not what the scores are linear in"
    bias = None if linear is None else linear.bias
    return CamHead(
        layer=layer,
        weight=graph.add_initializer(weight, "cam/weight"),
        bias=None if bias is None else graph.add_initializer(bias, "cam/bias"),
        averaged=averaged,
        channel=rest[1],
    )


def _identity(graph: Graph, score: str, channels: int | str | None) -> np.ndarray | None:
    """Without a linear layer the channels are the classes (Lin et al. 2014, arXiv:1312.4400)."""
    shape = graph.shape(score) or ()
    if not isinstance(channels, int) or shape[-1:] != (channels,):
        return None
    return np.eye(channels, dtype=helper.tensor_dtype_to_np_dtype(graph.dtype(score)))


def _linear(graph: Graph, score: str) -> _Linear | None:
    node, shift = graph.producer(unwrapped(graph, score)), None
    if node is not None and node.op_type == "Add":
        constants = [graph.constant(name) for name in node.input]
        if (constants[0] is None) == (constants[1] is None):
            return None
        index = 0 if constants[0] is None else 1
        shift = constants[1 - index]
        node = graph.producer(node.input[index])
    if node is None:
        return None
    found = _product(graph, node)
    if found is None or shift is None:
        return found
    k = len(found.weight)
    if shift.size != k or shift.shape[-1:] != (k,):
        return None
    shift = shift.reshape(k)
    return found._replace(bias=shift if found.bias is None else found.bias + shift)


def _product(graph: Graph, node: NodeProto) -> _Linear | None:
    """Read a MatMul, Gemm or 1x1 Conv whose weights are constants as a linear map."""
    constants = [graph.constant(name) for name in node.input[1:]]
    if not constants or any(array is None for array in constants):
        return None
    weight, bias = constants[0], constants[1] if len(constants) > 1 else None
    if weight is None:
        return None
    given = {a.name: a for a in node.attribute}
    if node.op_type == "MatMul" and weight.ndim == 2:
        return _Linear(node.input[0], weight.T, None)
    if node.op_type == "Gemm" and not ("transA" in given and given["transA"].i):
        alpha = given["alpha"].f if "alpha" in given else 1.0
        beta = given["beta"].f if "beta" in given else 1.0
        flipped = "transB" in given and given["transB"].i
        scaled = (weight if flipped else weight.T) * weight.dtype.type(alpha)
        k = len(scaled)
        return _Linear(
            node.input[0],
            scaled,
            None if bias is None else np.broadcast_to(bias * bias.dtype.type(beta), (1, k))[0],
        )
    point = graph.shape(node.input[0])
    if node.op_type == "Conv" and point is not None and set(point[2:]) == {1}:
        single = weight.reshape(weight.shape[0], -1)
        return _Linear(node.input[0], single, bias) if set(weight.shape[2:]) == {1} else None
    return None


def _averaged(graph: Graph, node: NodeProto) -> _Mean | None:
    """Return what a node averages, and over which axes, all of each; None if it does not."""
    layer = node.input[0] if node.input else ""
    rank = graph.rank(layer)
    if rank is None:
        return None
    if node.op_type == "GlobalAveragePool":
        return _Mean(layer, tuple(range(2, rank)))
    if node.op_type == "ReduceMean":
        axes = _axes(graph, node, rank)
        return None if axes is None else _Mean(layer, axes)
    if node.op_type == "AveragePool":
        before, after = graph.shape(layer) or (), graph.shape(node.output[0]) or ()
        kernel = next(tuple(a.ints) for a in node.attribute if a.name == "kernel_shape")
        if kernel == before[2:] and set(after[2:]) == {1}:
            return _Mean(layer, tuple(range(2, rank)))
    return None


def _masked_mean(graph: Graph, node: NodeProto) -> _Mean | None:
    """Return the layer and axes of sum(states * mask) / sum(mask), the mask alike for all channels.

    The count may have a least value, as for rows of nothing but padding.
    """
    if node.op_type != "Div":
        return None
    summed = graph.producer(unwrapped(graph, node.input[0]))
    count = graph.producer(unwrapped(graph, node.input[1]))
    if count is not None and count.op_type in ("Clip", "Max"):
        count = graph.producer(unwrapped(graph, count.input[0]))
    if summed is None or count is None or {summed.op_type, count.op_type} != {"ReduceSum"}:
        return None
    layer, mask = summed.input[0], count.input[0]
    product = graph.producer(layer)
    shape, kept = graph.shape(layer), graph.shape(mask)
    if product is None or product.op_type != "Mul" or mask not in product.input or not shape:
        return None
    axes = _axes(graph, summed, len(shape))
    if kept is None or len(kept) != len(shape) or axes != _axes(graph, count, len(shape)):
        return None
    rest = [axis for axis in range(1, len(shape)) if axes is None or axis not in axes]
    return None if axes is None or any(kept[axis] != 1 for axis in rest) else _Mean(layer, axes)


def _axes(graph: Graph, node: NodeProto, rank: int) -> tuple[int, ...] | None:
    """Return the axes that a reduction is told to reduce, in order; None if they are not known."""
    axes = graph.constant(node.input[1]) if len(node.input) > 1 else None
    return None if axes is None else tuple(sorted(int(axis) % rank for axis in axes))
