"""Where the values of a graph hold the positions of its input, and which positions matter.

Convolutions write [n, c, *spatial]; transformers flatten that into tokens, move the channels to the
end, put class tokens in front and cut windows out of it. Windows are not followed, but what they
are added to again is.
"""

from collections.abc import Sequence

from onnx import NodeProto

from candor.autodiff.follow import FOLLOW, POINTWISE, Layout, Layouts, cuts, projected
from candor.autodiff.graph import Graph
from candor.autodiff.order import operands
from candor.autodiff.quantised import reading

__all__ = ["Layout", "layouts_of", "positions_matter", "takes_tokens"]


def layouts_of(graph: Graph, explained: Sequence[str]) -> Layouts:
    """Return the layout of each value of which it is known.

    `explained` are the graph's float inputs and the embeddings of its token ids.
    """
    known: Layouts = {}
    plain = {value for value in explained if value in graph.inputs}
    for value in explained:
        if value not in plain and graph.rank(value) == 3:
            known[value] = Layout(channel=2, spatial=(1,))
    for node in graph.nodes:
        read = reading(node)
        op_type = node.op_type if read is None else read.op_type
        follow = FOLLOW.get(op_type)
        found = follow(graph, node, known) if follow is not None else None
        if found is None and op_type == "MatMul" and node.input[0] in plain:
            found = projected(graph, node)
        if found is not None:
            known |= {name: found for name in node.output if name and op_type == "Split"}
            known[node.output[0]] = found
        elif op_type in POINTWISE and not plain.isdisjoint(node.input):
            plain.add(node.output[0])
    return known


def positions_matter(graph: Graph, layouts: Layouts, path: set[str]) -> set[str]:
    """Return the values whose positions, not only their class tokens, matter to the scores."""
    mattering: set[str] = set()
    for node in reversed(graph.nodes):
        if path.isdisjoint(node.output):
            continue
        followed = [name for name in node.output if name in layouts]
        for value in operands(node):
            if value not in layouts or _takes_tokens(graph, node, layouts[value]):
                continue
            if not followed or not mattering.isdisjoint(followed):
                mattering.add(value)
    return mattering


def takes_tokens(graph: Graph, layouts: Layouts, path: set[str]) -> bool:
    """Tell whether a node on a path picks nothing but class tokens."""
    return any(
        _takes_tokens(graph, node, layouts[node.input[0]])
        for node in graph.nodes
        if node.op_type in ("Gather", "Slice")
        and node.input[0] in layouts
        and not path.isdisjoint(node.output)
    )


def _takes_tokens(graph: Graph, node: NodeProto, layout: Layout) -> bool:
    """Tell whether a node picks nothing but class tokens, or a single token as such."""
    if node.op_type not in ("Gather", "Slice") or len(layout.spatial) > 1 or layout.channel == 1:
        return False
    if node.op_type == "Gather":
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
        picks = graph.constant(node.input[1])
        if picks is None or axis % (graph.rank(node.input[0]) or 1) != layout.spatial[0]:
            return False
        return picks.size == 1 or bool(((picks >= 0) & (picks < layout.skipped)).all())
    return any(
        axis == layout.spatial[0] and (0 <= start < end <= layout.skipped or end - start == 1)
        for axis, start, end, _ in cuts(graph, node) or []
    )
