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
from candor.errors import InvalidModel, NotFound

__all__ = ["built", "closure", "declared", "fill", "frame_of"]

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


def built(
    frame: ModelProto,
    nodes: Sequence[NodeProto],
    initializers: Mapping[str, TensorProto],
    inputs: Types,
    outputs: Sequence[str],
    types: Types,
) -> ModelProto:
    """Return a model of what some outputs need, if ONNX's checker has nothing against it.

    Raises:
        NotFound, InvalidModel: as `Graph.finish`.
    """
    known = {*inputs, *initializers}.union(*(node.output for node in nodes))
    if absent := [name for name in outputs if name not in known]:
        raise NotFound(f"the graph has no value '{absent[0]}'")
    kept, needed = closure(nodes, outputs)
    tensors = [tensor for name, tensor in initializers.items() if name in needed]
    read = {name: known for name, known in inputs.items() if name in needed}
    fill((model := frame_of(frame)).graph, kept, tensors, read, outputs, types)
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
