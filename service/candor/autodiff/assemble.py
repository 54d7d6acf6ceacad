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

__all__ = ["checked", "closure", "declared", "fill", "frame_of"]

Types = Mapping[str, TypeProto]


def frame_of(model: ModelProto, name: str = "") -> ModelProto:
    """Return a model without a graph: format, operator sets, metadata."""
    frame = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    frame.opset_import.extend(model.opset_import)
    frame.metadata_props.extend(model.metadata_props)
    frame.graph.name = name or model.graph.name or "graph"
    return frame


def declared(types: Types) -> list[ValueInfoProto]:
    """Declare values of these names and types."""
    return [ValueInfoProto(name=name, type=known) for name, known in types.items()]


def fill(
    graph: GraphProto,
    nodes: Sequence[NodeProto],
    initializers: Iterable[TensorProto],
    inputs: Types,
    outputs: Sequence[str],
    types: Types,
) -> None:
    """Put its parts into an empty graph; an output of unknown type is declared without one.

    They are copied here once, weights and all, so the graph should be where it will stay.
    """
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    graph.input.extend(declared(inputs))
    graph.output.extend(ValueInfoProto(name=name, type=types.get(name)) for name in outputs)


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
    weights = {t.name: tensor_type(t.data_type, t.dims) for t in model.graph.initializer}
    light.graph.input.extend(declared(weights))
    return light
