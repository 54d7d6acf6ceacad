"""From the parts of a graph to ONNX's own messages, and which parts a set of outputs needs."""

from collections.abc import Iterable, Mapping, Sequence

from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    checker,
)

from candor.autodiff.order import operands
from candor.autodiff.values import tensor_type
from candor.errors import InvalidModel

__all__ = ["checked", "closure", "frame_of", "framed", "graph_proto"]

Types = Mapping[str, TypeProto]


def frame_of(model: ModelProto, name: str = "") -> ModelProto:
    """Return a model without a graph: format, operator sets, metadata."""
    frame = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    frame.opset_import.extend(model.opset_import)
    frame.metadata_props.extend(model.metadata_props)
    frame.graph.name = name or model.graph.name or "graph"
    return frame


def framed(frame: ModelProto, graph: GraphProto) -> ModelProto:
    """Put a graph into a model like another."""
    model = frame_of(frame)
    model.graph.MergeFrom(graph)
    return model


def graph_proto(
    nodes: Sequence[NodeProto],
    initializers: Iterable[TensorProto],
    inputs: Types,
    outputs: Sequence[str],
    types: Types,
) -> GraphProto:
    """Build a graph; an output of unknown type is declared without one."""
    graph = GraphProto()
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    graph.input.extend(ValueInfoProto(name=name, type=known) for name, known in inputs.items())
    graph.output.extend(ValueInfoProto(name=name, type=types.get(name)) for name in outputs)
    return graph


def closure(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes that some outputs need, in order, and the values that these read."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(operands(node))
    return kept[::-1], needed


def checked(model: ModelProto) -> ModelProto:
    """Return the model if ONNX's checker has nothing against it."""
    try:
        checker.check_model(_weightless(model))
    except checker.ValidationError as error:
        raise InvalidModel(f"the compiled graph is not valid ONNX: {error}") from error
    return model


def _weightless(model: ModelProto) -> ModelProto:
    """Declare initialisers as inputs: the checker copies a model twice, weights and all."""
    light = frame_of(model)
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    light.graph.input.extend(
        ValueInfoProto(name=t.name, type=tensor_type(t.data_type, t.dims))
        for t in model.graph.initializer
    )
    return light
