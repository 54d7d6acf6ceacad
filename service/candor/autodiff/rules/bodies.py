"""The body of a loop as a graph of its own, and back."""

from collections.abc import Mapping, Sequence

from onnx import GraphProto, NodeProto, TypeProto, helper, numpy_helper

from candor.autodiff.graph import Graph
from candor.autodiff.order import captures, operands, rename
from candor.autodiff.values import Shape

__all__ = ["Kind", "closed", "opened", "source"]

Kind = tuple[int, Shape]
"""An element type and a shape."""


def opened(around: Graph, body: GraphProto, kinds: Mapping[str, Kind]) -> Graph:
    """Return a graph of a body's nodes, under their names.

    Its inputs are the body's, of the kinds given, and what the body reads from the graph around
    it; constants among the latter become constants of its own.
    """
    graph = around.blank(body.name)
    outer = captures(body)
    for name in outer:
        if (array := around.constant(name)) is not None:
            graph.add_initializer(array, name)
        else:
            graph.add_input(name, around.dtype(name), around.shape(name) or ())
    for name, (dtype, shape) in kinds.items():
        graph.add_input(name, dtype, shape)
    for tensor in body.initializer:
        graph.add_initializer(numpy_helper.to_array(tensor), tensor.name)
    for node in body.node:
        twin = NodeProto()
        twin.CopyFrom(node)
        graph.append(twin)
    return graph


def source(graph: Graph, value: str) -> str:
    """Return the value that a value is a copy of."""
    while (node := graph.producer(value)) is not None and node.op_type == "Identity":
        value = node.input[0]
    return value


def closed(graph: Graph, inputs: Sequence[str], outputs: Sequence[str], prefix: str) -> GraphProto:
    """Return the body that computes some outputs, its own values under names with a prefix.

    What else the graph has for inputs stands for the values of these names around it.
    """
    built = graph.finish(outputs).graph
    kinds: dict[str, TypeProto] = {value.name: value.type for value in built.input}
    del built.input[:]
    built.input.extend(
        helper.make_value_info(name, kinds[name])
        if name in kinds
        else helper.make_tensor_value_info(name, graph.dtype(name), graph.shape(name))
        for name in inputs
    )
    del built.value_info[:]
    own = [*inputs, *(tensor.name for tensor in built.initializer)]
    own += [name for node in built.node for name in node.output if name]
    fresh = {name: f"{prefix}/{name}" for name in own if not name.startswith(prefix)}
    for value in (*built.input, *built.output):
        value.name = fresh.get(value.name, value.name)
    for tensor in built.initializer:
        tensor.name = fresh.get(tensor.name, tensor.name)
    for node in built.node:
        for old in {*operands(node)} & fresh.keys():
            rename(node, old, fresh[old])
        node.output[:] = [fresh.get(name, name) for name in node.output]
        node.name = node.name and f"{prefix}/{node.name}"
    built.name = prefix
    return built
