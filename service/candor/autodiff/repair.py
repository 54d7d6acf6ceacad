"""What ONNX's own tools do not do for files that ONNX Runtime takes as they are.

Nodes in any order are sorted, GroupNormalization of opset 18 to 20 (deprecated since) is rewritten,
and resizing of opset 10 and before keeps its coordinates through the conversion.
"""

from collections.abc import Iterable
from typing import Final

from onnx import GraphProto, ModelProto, NodeProto, helper

from candor.autodiff.order import operands, topological

__all__ = ["BEFORE_COORDINATES", "keep_coordinates", "repair", "resizing"]

_GROUPED_SINCE: Final = 21  # from here on a scale belongs to a channel, before to a group
BEFORE_COORDINATES: Final = 10
"""The last version in which resizing has no choice of coordinates; Upsample is gone from there."""


def repair(model: ModelProto) -> None:
    """Sort the nodes, and write old group normalisations as instance normalisations."""
    _sort(model.graph)
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if any(n.op_type == "GroupNormalization" for n in model.graph.node) and (
        version < _GROUPED_SINCE
    ):
        nodes = [made for node in model.graph.node for made in _by_instances(node)]
        del model.graph.node[:]
        model.graph.node.extend(nodes)


def _sort(graph: GraphProto) -> None:
    written = {name for node in graph.node for name in node.output}
    made: set[str] = set()
    for node in graph.node:
        if any(name in written and name not in made for name in operands(node)):
            break
        made.update(node.output)
    else:
        return
    available = {name for node in graph.node for name in operands(node)} - written
    ordered = [_copied(node) for node in topological(list(graph.node), available)]
    del graph.node[:]
    graph.node.extend(ordered)


def _copied(node: NodeProto) -> NodeProto:
    twin = NodeProto()
    twin.CopyFrom(node)
    return twin


def _by_instances(node: NodeProto) -> list[NodeProto]:
    """Normalise groups as if each were a channel, which has a scale and a bias there too."""
    if node.op_type != "GroupNormalization" or node.domain:
        return [_copied(node)]
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    (x, scale, bias), (y,) = node.input, node.output
    extents, groups, whole, normal = (f"{y}/{what}" for what in ("shape", "by", "in", "out"))
    return [
        helper.make_node("Shape", [x], [extents]),
        helper.make_node("Constant", [], [groups], value_ints=[0, given["num_groups"], -1]),
        helper.make_node("Reshape", [x, groups], [whole]),
        helper.make_node(
            "InstanceNormalization",
            [whole, scale, bias],
            [normal],
            node.name,
            epsilon=given.get("epsilon", 1e-5),
        ),
        helper.make_node("Reshape", [normal, extents], [y]),
    ]


def resizing(model: ModelProto, version: int) -> frozenset[str]:
    """Name the results of resizing nodes from before that had a choice of coordinates."""
    if version > BEFORE_COORDINATES:
        return frozenset()
    nodes = [node for node in model.graph.node if node.op_type == "Resize"]
    return frozenset(name for node in nodes for name in node.output)


def keep_coordinates(nodes: Iterable[NodeProto], results: frozenset[str]) -> None:
    """Say which coordinates resizing nodes had before there was a choice; the converter forgets."""
    for node in nodes:
        if results.intersection(node.output):
            kept = [a for a in node.attribute if a.name not in _OLD_COORDINATES]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.extend(helper.make_attribute(*item) for item in _OLD_COORDINATES.items())


_OLD_COORDINATES: Final = {
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}
