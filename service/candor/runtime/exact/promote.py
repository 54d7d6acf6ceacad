"""A program in float64: types, weights and casts promoted, missing kernels written out.

Where ONNX Runtime has no float64 kernel, an operator is replaced by what it means (`WRITTEN_OUT`),
or by the body that the standard gives for it; what is left runs in float32 between two casts.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    defs,
    helper,
    inliner,
    numpy_helper,
    shape_inference,
)

from candor.autodiff import Emitter, Graph
from candor.autodiff.order import rename, subgraphs
from candor.errors import InvalidModel
from candor.runtime.exact.written_out import WRITTEN_OUT

__all__ = ["Exact", "in_float64"]

_NARROW: Final = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_TYPE_NAMES: Final = frozenset({"dtype", "stash_type", "to"})

_EXACT_ANYWAY: Final = frozenset({"OneHot"})  # writes nothing but what it is given

# ONNX Runtime loads them in float64 and says while running that it has no such kernels.
_RECURRENT: Final = frozenset({"GRU", "LSTM", "RNN"})

_ROUNDING: Final = frozenset({"Normalizer", "Scaler"})  # of ai.onnx.ml: float64 in, float32 out

Loads = Callable[[ModelProto], bool]
"""Tells whether ONNX Runtime has kernels for a model."""


class Exact(NamedTuple):
    """A program in float64, and the types of the operators that still run in float32."""

    program: ModelProto
    narrow: frozenset[str]


def in_float64(program: ModelProto, loads: Loads) -> Exact:
    """Promote a program; its inputs and outputs become float64 where they were floats."""
    outputs = [value.name for value in program.graph.output]
    supported = _Supported(loads)
    graph = _expanded(_promoted(program), supported)
    op = Emitter(graph, "float64")
    narrow: set[str] = set()
    for node in graph.nodes:
        if next(subgraphs(node), None) is not None or supported(graph, node):
            continue
        written = WRITTEN_OUT.get(node.op_type)
        results = None if written is None else written(op, node)
        if results is None:
            narrow.update({node.op_type} - _EXACT_ANYWAY)
            results = _between_casts(op, node)
        for old, new in zip(node.output, results, strict=False):
            graph.replace_uses(old, new)
    return Exact(graph.finish(outputs), frozenset(narrow))


def _expanded(promoted: ModelProto, supported: "_Supported") -> Graph:
    """Replace operators that lack a kernel by the bodies that the standard has for them."""
    graph = _typed(promoted)
    while lacking := [name for name in _with_bodies(graph) if not supported.all_of(graph, name)]:
        names = [("", op_type) for op_type in sorted(lacking)]
        for node in promoted.graph.node:
            if node.op_type in lacking:
                _fill_defaults(node, graph.opset)
        promoted = inliner.inline_selected_functions(promoted, names, inline_schema_functions=True)
        for node in promoted.graph.node:
            for attribute in node.attribute:
                _widen_attribute(node, attribute)
        graph = _typed(promoted)
    return graph


def _has_body(op_type: str, opset: int) -> bool:
    schema = defs.get_schema(op_type, opset, "")
    return bool(schema.has_function)  # type: ignore[attr-defined]  # missing from the stub


def _fill_defaults(node: NodeProto, opset: int) -> None:
    """Write down the attributes that a node leaves out, which onnx's inliner forgets."""
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in defs.get_schema(node.op_type, opset, "").attributes.items():
        if name not in given and attribute.default_value.type:
            node.attribute.append(attribute.default_value)


def _typed(model: ModelProto) -> Graph:
    graph = Graph(shape_inference.infer_shapes(model))
    for node in graph.nodes:  # in an order in which what a node reads is known before
        graph.infer(node)
    return graph


def _with_bodies(graph: Graph) -> set[str]:
    """Types of operators that the standard defines by others, and that are not written out."""
    return {
        node.op_type
        for node in graph.nodes
        if not node.domain
        and node.op_type not in WRITTEN_OUT
        and _has_body(node.op_type, graph.opset)
    }


class _Supported:
    """Whether ONNX Runtime has a kernel for a node, asked once for each sort of node."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self._known: dict[tuple[str, ...], bool] = {}

    def __call__(self, graph: Graph, node: NodeProto) -> bool:
        kinds = [str(graph.dtype(name)) for name in node.input]
        key = (node.domain, node.op_type, *kinds)
        if node.op_type in _RECURRENT or (node.domain and node.op_type in _ROUNDING):
            return False
        if key not in self._known:
            wide = TensorProto.DOUBLE in {graph.dtype(n) for n in (*node.input, *node.output) if n}
            self._known[key] = not wide or self._can_load(graph, node)
        return self._known[key]

    def all_of(self, graph: Graph, op_type: str) -> bool:
        """Tell whether every node of a type has a kernel."""
        return all(self(graph, node) for node in graph.nodes if node.op_type == op_type)

    def _can_load(self, graph: Graph, node: NodeProto) -> bool:
        try:
            return self._loads(_alone(graph, node))
        except InvalidModel:  # not defined for float64 at all
            return False


def _alone(graph: Graph, node: NodeProto) -> ModelProto:
    """A model of one node, whose constants are constants."""
    constants = [name for name in node.input if name and graph.constant(name) is not None]
    alone = graph.blank("alone", [name for name in constants if graph.producer(name) is None])
    for name in dict.fromkeys(node.input):
        if name and not alone.known(name):
            alone.add_input(name, graph.dtype(name), graph.shape(name) or ())
    twin = NodeProto()
    twin.CopyFrom(node)
    alone.append(twin)
    return alone.finish([name for name in node.output if name])


def _between_casts(op: Emitter, node: NodeProto) -> list[str]:
    graph = op.graph
    operands = [
        op.Cast(name, to=TensorProto.FLOAT) if graph.dtype(name) == TensorProto.DOUBLE else name
        for name in node.input
    ]
    twin = NodeProto()
    twin.CopyFrom(node)
    twin.input[:] = operands
    twin.output[:] = [graph.fresh(f"{name}/float32") if name else "" for name in node.output]
    graph.append(twin)
    return [
        op.Cast(narrow, to=TensorProto.DOUBLE) if graph.dtype(narrow) in _NARROW else narrow
        for narrow in twin.output
    ]


# Promoting


def _promoted(program: ModelProto) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(program)
    _name_outputs(model.graph)
    for graph in _graphs(model.graph):
        del graph.value_info[:]
        for tensor in graph.initializer:
            _widen(tensor)
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in _NARROW:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
        for node in graph.node:
            for attribute in node.attribute:
                _widen_attribute(node, attribute)
        for node in list(graph.node):
            _stay_narrow(graph, node)
    return model


def _stay_narrow(graph: GraphProto, node: NodeProto) -> None:
    """Put casts round what is float32 whatever else is float64."""
    if node.op_type == "Resize" and len(node.input) > 2 and node.input[2]:
        scales, node.input[2] = node.input[2], f"{node.output[0]}/scales"
        cast = helper.make_node("Cast", [scales], [node.input[2]], to=TensorProto.FLOAT)
        graph.node.append(cast)
    elif node.domain and node.op_type in _ROUNDING:
        wide, node.output[0] = node.output[0], f"{node.output[0]}/float32"
        cast = helper.make_node("Cast", [node.output[0]], [wide], to=TensorProto.DOUBLE)
        graph.node.append(cast)


def _name_outputs(graph: GraphProto) -> None:
    """Write outputs by an Identity, so that what computes them can be replaced."""
    for output in [value.name for value in graph.output]:
        inner = f"{output}/float64"
        for node in graph.node:
            rename(node, output, inner)
            node.output[:] = [inner if name == output else name for name in node.output]
        graph.node.append(helper.make_node("Identity", [inner], [output], name=inner))


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for body in subgraphs(node):
            yield from _graphs(body)


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in _NARROW:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _widen_attribute(node: NodeProto, attribute: AttributeProto) -> None:
    if attribute.HasField("t"):
        _widen(attribute.t)
    elif attribute.name in _TYPE_NAMES and attribute.i in _NARROW:
        attribute.i = TensorProto.DOUBLE
    elif node.op_type == "Constant" and attribute.name in {"value_float", "value_floats"}:
        numbers = np.array(
            attribute.f if attribute.name == "value_float" else attribute.floats, np.float64
        )
        attribute.Clear()
        attribute.name, attribute.type = "value", AttributeProto.TENSOR
        attribute.t.CopyFrom(numpy_helper.from_array(numbers))
