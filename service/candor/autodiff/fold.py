"""Constants known while compiling: folded through the operators that only move data or count.

Arithmetic on weights is left to the runtime, so that the numbers stay those of the model.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto
from onnx.reference import ReferenceEvaluator

from candor.autodiff.branch import settle
from candor.autodiff.graph import Graph
from candor.errors import InvalidModel

__all__ = ["fold"]

_Vector = list[int | None]  # an int64 vector or scalar of which some entries may be unknown

_MOVES: Final = frozenset(
    "Cast Concat Flatten Gather Identity Reshape Slice Split Squeeze Transpose Unsqueeze".split()
)
_COUNTS: Final = frozenset(
    "Abs Add And ConstantOfShape Div Equal Expand Greater Less Max Min Mod Mul Neg Not Or Range "
    "ReduceMax ReduceMin ReduceProd ReduceSum Sub Tile Where".split()
)
_COUNTS_UP_TO: Final = 4096  # elements; larger results are cheaper computed than stored


def fold(graph: Graph) -> Graph:
    """Fold constants and extents, refine shapes, drop what is decided; changes the graph.

    An Identity, a Dropout and an If of known condition go: readers read what they stand for.
    """
    settled: set[str] = set()
    _sweep(graph)
    while branches := [node for node in graph.nodes if _is_decided(graph, node, settled)]:
        for node in branches:
            settle(graph, node)
            settled.add(node.output[0])
        _sweep(graph)  # types downstream of a branch are known only now
    return graph


def _is_decided(graph: Graph, node: NodeProto, settled: set[str]) -> bool:
    if node.op_type != "If" or node.output[0] in settled:
        return False
    kept = set(graph.outputs).intersection(node.output)
    return graph.constant(node.input[0]) is not None and not kept


def _sweep(graph: Graph) -> None:
    partial: dict[str, _Vector] = {}
    outputs = set(graph.outputs)
    for node in graph.nodes:
        graph.infer(node)
        if _is_identity(graph, node) and node.output[0] not in outputs:
            graph.replace_uses(node.output[0], node.input[0])
            continue
        known = _constants(graph, node, partial)
        for name, array in known.items():
            if name not in outputs:
                graph.replace_uses(name, graph.add_initializer(array, name))


def _is_identity(graph: Graph, node: NodeProto) -> bool:
    if node.op_type == "Dropout":
        training = graph.constant(node.input[2]) if len(node.input) > 2 else np.False_
        unmasked = len(node.output) < 2 or not graph.consumers(node.output[1])
        return training is not None and not np.any(training) and unmasked
    return node.op_type == "Identity" and node.domain == ""


def _constants(graph: Graph, node: NodeProto, partial: dict[str, _Vector]) -> dict[str, np.ndarray]:
    """Return the outputs of a node that are known now."""
    if node.op_type == "Constant":
        value = graph.constant(node.output[0])
        return {} if value is None else {node.output[0]: value}
    if (trace := _TRACES.get(node.op_type)) is not None:
        vector = trace(graph, node, partial)
        if vector is not None and None not in vector:
            shape = () if graph.rank(node.output[0]) == 0 else (len(vector),)
            return {node.output[0]: np.array(vector, np.int64).reshape(shape)}
        if vector is not None:
            partial[node.output[0]] = vector
            return {}
    if node.op_type == "Reshape":
        _settle_reshape(graph, node, partial)
    return _evaluated(graph, node)


def _evaluated(graph: Graph, node: NodeProto) -> dict[str, np.ndarray]:
    moves, counts = node.op_type in _MOVES, node.op_type in _COUNTS
    if node.domain or not (moves or counts):
        return {}
    names = [name for name in node.input if name]
    if any(graph.constant(name) is None for name in names):
        return {}
    if counts and not all(_countable(graph, name) for name in node.output):
        return {}
    try:
        results = _run(graph, node, names)
    except (
        ArithmeticError,
        IndexError,
        InvalidModel,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ):
        return {}  # the runtime is the judge of nodes that fail on their constants
    return dict(zip(node.output, results, strict=True))


def _countable(graph: Graph, value: str) -> bool:
    shape = graph.shape(value)
    integral = graph.dtype(value) in {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL}
    extents = [extent for extent in shape or () if isinstance(extent, int)]
    known = shape is not None and len(extents) == len(shape)
    return integral and known and math.prod(extents) <= _COUNTS_UP_TO


def _run(graph: Graph, node: NodeProto, constants: list[str]) -> list[np.ndarray]:
    alone = graph.blank("fold", constants)
    alone.append(node)
    results = ReferenceEvaluator(alone.finish(list(node.output))).run(None, {})
    return [np.asarray(result) for result in results]


# Extents: what is known of shape vectors whose batch entry is not


def _vector(graph: Graph, value: str, partial: dict[str, _Vector]) -> _Vector | None:
    known = graph.constant(value)
    if known is None:
        return partial.get(value)
    return known.reshape(-1).tolist() if known.ndim <= 1 and known.dtype == np.int64 else None


def _trace_shape(graph: Graph, node: NodeProto, _: dict[str, _Vector]) -> _Vector | None:
    shape = graph.shape(node.input[0])
    if shape is None:
        return None
    bounds = {a.name: int(a.i) for a in node.attribute}
    extents = [extent if isinstance(extent, int) else None for extent in shape]
    return extents[bounds.get("start", 0) : bounds.get("end", len(extents))]


def _trace_gather(graph: Graph, node: NodeProto, partial: dict[str, _Vector]) -> _Vector | None:
    vector, picks = partial.get(node.input[0]), graph.constant(node.input[1])
    if vector is None or picks is None or picks.ndim > 1:
        return None
    return [vector[int(index)] for index in picks.reshape(-1)]


def _trace_slice(graph: Graph, node: NodeProto, partial: dict[str, _Vector]) -> _Vector | None:
    vector = partial.get(node.input[0])
    bounds = [graph.constant(name) for name in (*node.input[1:3], *node.input[4:5]) if name]
    if vector is None or any(bound is None or bound.size != 1 for bound in bounds):
        return None
    return vector[slice(*(int(bound.reshape(())) for bound in bounds if bound is not None))]


def _trace_same(graph: Graph, node: NodeProto, partial: dict[str, _Vector]) -> _Vector | None:
    kept = graph.dtype(node.output[0]) == TensorProto.INT64
    return partial.get(node.input[0]) if kept else None


def _trace_concat(graph: Graph, node: NodeProto, partial: dict[str, _Vector]) -> _Vector | None:
    if not any(name in partial for name in node.input):
        return None
    parts = [_vector(graph, name, partial) for name in node.input]
    return None if None in parts else [entry for part in parts if part for entry in part]


_TRACES: Final[dict[str, Callable[[Graph, NodeProto, dict[str, _Vector]], _Vector | None]]] = {
    "Cast": _trace_same,
    "Concat": _trace_concat,
    "Gather": _trace_gather,
    "Identity": _trace_same,
    "Shape": _trace_shape,
    "Slice": _trace_slice,
    "Squeeze": _trace_same,
    "Unsqueeze": _trace_same,
}


def _settle_reshape(graph: Graph, node: NodeProto, partial: dict[str, _Vector]) -> None:
    """Replace a target of which one entry is unknown by the same with -1 there."""
    target = partial.get(node.input[1])
    if target is None or -1 in target or target.count(None) != 1:
        return
    entries = np.array([-1 if entry is None else entry for entry in target], np.int64)
    graph.set_operand(node, 1, graph.add_initializer(entries, f"{node.output[0]}/shape"))
    graph.infer(node)
