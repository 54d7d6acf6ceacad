"""Constants known while compiling: folded through the operators that only move data or count.

Arithmetic on weights is left to the runtime, so that the numbers stay those of the model.
"""

import math
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from candor.autodiff.branch import settle
from candor.autodiff.graph import Graph
from candor.errors import InvalidModel

__all__ = ["fold"]

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

    What changes nothing (Identity, Dropout, a Pad by nothing, a Slice of all) and an If of known
    condition go: readers read what they stand for.
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
    outputs = set(graph.outputs)
    for node in graph.nodes:
        graph.infer(node)
        if _is_identity(graph, node) and node.output[0] not in outputs:
            graph.replace_uses(node.output[0], node.input[0])
            continue
        known = _constants(graph, node)
        for name, array in known.items():
            if name not in outputs:
                graph.replace_uses(name, graph.add_initializer(array, name))


def _is_identity(graph: Graph, node: NodeProto) -> bool:
    if node.op_type == "Dropout":
        training = graph.constant(node.input[2]) if len(node.input) > 2 else np.False_
        unmasked = len(node.output) < 2 or not graph.consumers(node.output[1])
        return training is not None and not np.any(training) and unmasked
    if node.op_type == "Pad":
        pads = graph.constant(node.input[1])
        return pads is not None and not pads.any()
    if node.op_type == "Slice":
        before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
        steps = np.ones(1) if len(node.input) < 5 else graph.constant(node.input[4])
        whole = before is not None and before == after and None not in before
        return whole and steps is not None and bool((steps == 1).all())
    return node.op_type == "Identity" and node.domain == ""


def _constants(graph: Graph, node: NodeProto) -> dict[str, np.ndarray]:
    """Return the outputs of a node that are known now."""
    if node.op_type == "Constant":
        value = graph.constant(node.output[0])
        return {} if value is None else {node.output[0]: value}
    sizes = graph.sizes(node.output[0]) if node.output else None
    if sizes is not None and all(isinstance(size, int) for size in sizes):
        shape = () if graph.rank(node.output[0]) == 0 else (len(sizes),)
        dtype = helper.tensor_dtype_to_np_dtype(graph.dtype(node.output[0]))
        return {node.output[0]: np.array(sizes, dtype).reshape(shape)}
    if node.op_type == "Reshape":
        _settle_reshape(graph, node)
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
    except (ArithmeticError, IndexError, InvalidModel, RuntimeError, TypeError, ValueError):
        return {}  # the runtime is the judge of nodes that fail on their constants
    return dict(zip(node.output, results, strict=True))


def _countable(graph: Graph, value: str) -> bool:
    shape = graph.shape(value)
    integral = graph.dtype(value) in {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL}
    extents = [extent for extent in shape or () if isinstance(extent, int)]
    known = shape is not None and len(extents) == len(shape)
    return integral and known and math.prod(extents) <= _COUNTS_UP_TO


def _run(graph: Graph, node: NodeProto, constants: list[str]) -> list[np.ndarray]:
    """Run one node; its constants are fed, for as weights of a model they would be copied."""
    feeds = {name: array for name in constants if (array := graph.constant(name)) is not None}
    given = [
        helper.make_tensor_value_info(name, graph.dtype(name), array.shape)
        for name, array in feeds.items()
    ]
    made = [helper.make_empty_tensor_value_info(name) for name in node.output]
    opset = helper.make_opsetid("", graph.opset)
    alone = ModelProto(ir_version=10, opset_import=[opset])
    alone.graph.CopyFrom(helper.make_graph([node], "fold", given, made))
    return [np.asarray(result) for result in ReferenceEvaluator(alone).run(None, feeds)]


def _settle_reshape(graph: Graph, node: NodeProto) -> None:
    """Replace a target of which one entry is unknown by the same with -1 there."""
    target = graph.sizes(node.input[1])
    if target is None or -1 in target or graph.constant(node.input[1]) is not None:
        return
    entries = [entry if isinstance(entry, int) else -1 for entry in target]
    if entries.count(-1) == 1:
        shape = np.array(entries, np.int64)
        graph.set_operand(node, 1, graph.add_initializer(shape, f"{node.output[0]}/shape"))
        graph.infer(node)
