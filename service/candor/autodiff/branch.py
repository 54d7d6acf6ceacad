"""Taking the branch of an If whose condition is known while compiling."""

from onnx import NodeProto, numpy_helper

from candor.autodiff.graph import Graph
from candor.autodiff.order import rename

__all__ = ["settle"]


def settle(graph: Graph, node: NodeProto) -> None:
    """Put the branch that an If takes into the graph and let the If's readers read from there.

    The If itself stays, unread. Names within the branch are made fresh.
    """
    condition = graph.constant(node.input[0])
    taken = "then_branch" if condition is not None and condition.any() else "else_branch"
    body = next(attribute.g for attribute in node.attribute if attribute.name == taken)
    names = {
        tensor.name: graph.add_initializer(numpy_helper.to_array(tensor), tensor.name)
        for tensor in body.initializer
    }
    for inner in body.node:
        twin = NodeProto()
        twin.CopyFrom(inner)
        for old, new in names.items():
            rename(twin, old, new)
        written = {name: graph.fresh(name) for name in twin.output if name}
        twin.output[:] = [written.get(name, "") for name in twin.output]
        names |= written
        graph.append(twin)
    for old, value in zip(node.output, body.output, strict=True):
        graph.replace_uses(old, names.get(value.name, value.name))
