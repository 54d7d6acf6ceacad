"""The layers of a classifier that a class activation map can weigh, read off the graph alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from onnx import NodeProto, TensorProto

from candor.autodiff.graph import Graph
from candor.autodiff.head import CamHead
from candor.autodiff.layout import Layout, layouts_of, positions_matter, takes_tokens
from candor.autodiff.order import operands
from candor.autodiff.quantised import reading
from candor.autodiff.values import FLOATS, Shape, spelled
from candor.errors import NotFound, Unsupported

__all__ = ["Layer", "check_layer", "layers_of", "path_between", "placed", "preferred"]


class Layer(NamedTuple):
    """A value whose activation a class activation map can weigh: [n, c, *spatial] by its layout."""

    name: str
    shape: Shape
    layout: Layout = Layout()


def path_between(graph: Graph, sources: Iterable[str], score: str) -> set[str]:
    """Return the values that depend on a source and that the score depends on."""
    reached = set(sources)
    for node in graph.nodes:
        if not reached.isdisjoint(operands(node)):
            reached.update(node.output)
    needed = {score}
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.output):
            needed.update(operands(node))
    return reached & needed


def layers_of(graph: Graph, explained: Sequence[str], path: set[str]) -> tuple[Layer, ...]:
    """Return the values on a path that hold the positions of the input, in graph order.

    Where channels come last, as in transformers, these are what a normalisation or a residual sum
    writes. A value of which only class tokens reach the scores is none.
    """
    layouts = layouts_of(graph, explained)
    mattering = positions_matter(graph, layouts, path)
    n_axes = _position_axes(graph, explained)
    rows = {(graph.shape(value) or (None,))[0] for value in explained}
    found = []
    for node in graph.nodes:
        value = node.output[0]
        layout, shape = layouts.get(value), graph.shape(value)
        if layout is None or shape is None or value not in path or value not in mattering:
            continue
        if (
            _matches(layout, shape, n_axes)
            and (None in rows or shape[0] is None or shape[0] in rows)  # no patches for rows
            and any(extent != 1 for extent in (layout.grid or [shape[a] for a in layout.spatial]))
            and _is_written(node, layout, layouts)
            and _is_numbers(graph, node)
        ):
            found.append(Layer(value, shape, layout))
    return tuple(found)


def preferred(
    graph: Graph,
    explained: Sequence[str],
    path: set[str],
    layers: Sequence[Layer],
    averaged: str | None,
) -> str | None:
    """Return the layer to map where none is named: the last of several channels.

    A single channel is a gate, or the scores of an attention over the places, of which the mean
    slope is zero; but not where it is what an exact map's head averages. Where class tokens alone
    are scored, it is the last whose channels come last: a convolution inside the last attention
    writes for the patches, of which nothing comes to the scores.
    """
    layers = [at for at in layers if at.name == averaged or not _has_one_channel(at)] or layers
    if not layers or layers[-1].layout.channel != 1:
        return layers[-1].name if layers else None
    tokens = [layer.name for layer in layers if layer.layout.channel != 1]
    scored = bool(tokens) and takes_tokens(graph, layouts_of(graph, explained), path)
    return tokens[-1] if scored else layers[-1].name


def _has_one_channel(layer: Layer) -> bool:
    return layer.layout.batch == 0 and layer.shape[layer.layout.channel] == 1


def _position_axes(graph: Graph, explained: Sequence[str]) -> int:
    """Return how many axes of the input are positions: 2 of a picture, else 1."""
    ranks = [graph.rank(value) or 0 for value in explained if value in graph.inputs]
    return max((rank - 2 for rank in ranks), default=1) or 1


def _matches(layout: Layout, shape: Shape, n_axes: int) -> bool:
    """Tell whether a value can be laid out as the positions of the input.

    A series that is handled as a picture one pixel high can.
    """
    if layout.batch or len(shape) != 2 + len(layout.spatial):
        return False
    wide = [axis for axis in layout.spatial if shape[axis] != 1]
    return n_axes == layout.n_axes or (n_axes == len(wide) and not layout.grid)


def _is_written(node: NodeProto, layout: Layout, layouts: Mapping[str, Layout]) -> bool:
    """Tell whether a node writes a layer, not another view of one, or a part of a block."""
    if node.op_type in _ALIASES:
        return False
    if layout.channel == 1 and not layout.grid:
        return True
    summed = node.op_type in ("Add", "Sum") and sum(name in layouts for name in node.input) > 1
    return summed or node.op_type in _NORMALISATIONS


def _is_numbers(graph: Graph, node: NodeProto) -> bool:
    """Tell whether a node's result can be weighed: a float, or quantised by a known scale."""
    if node.op_type == "DequantizeLinear":  # one of several readings of a value is not the whole
        written = graph.producer(node.input[0])
        sources = [node.input[0], *(written.input[:1] if written is not None else ())]
        return all(len(graph.consumers(source)) == 1 for source in sources)
    if graph.dtype(node.output[0]) in {*FLOATS, TensorProto.UNDEFINED}:
        return True
    read = reading(node)
    return read is not None and read.result is not None


def placed(graph: Graph, head: CamHead | str, explained: Sequence[str]) -> CamHead | str:
    """Give a head the layout of its layer; the reason why not, where that is not the input's."""
    if isinstance(head, str):
        return head
    shape = graph.shape(head.layer) or ()
    plain = Layout(channel=head.channel, spatial=head.averaged)
    known = layouts_of(graph, explained).get(head.layer, plain)
    whole = math.prod(known.grid) in (1, shape[known.spatial[0]]) and not known.skipped
    layout = known if whole and set(known.spatial) == set(head.averaged) else plain
    if not _matches(layout, shape, _position_axes(graph, explained)):
        return (
            f"the positions of '{head.layer}' {spelled(shape)}, which are averaged, are not those "
            "of the input"
        )
    return head._replace(layout=layout)


def check_layer(graph: Graph, layer: str, path: set[str]) -> Layer:
    """Return a layer that is none of `layers_of`: [n, c, *spatial].

    Raises:
        NotFound: the graph has no such value.
        Unsupported: it cannot be weighed, or is not on the way to the scores.
    """
    if not graph.known(layer):
        raise NotFound(f"the model has no layer '{layer}'")
    known = layer in path and graph.dtype(layer) in FLOATS  # what is quantised is in the list
    shape = graph.shape(layer) or ()
    if not known or len(shape) < 3:
        raise Unsupported(
            f"'{layer}' {spelled(graph.shape(layer))} is not an activation map on the way to the "
            "scores"
        )
    return Layer(layer, shape, Layout(spatial=tuple(range(2, len(shape)))))


_NORMALISATIONS: Final = frozenset(
    {"BatchNormalization", "LayerNormalization", "LpNormalization", "RMSNormalization"}
)

_ALIASES: Final = frozenset(
    "Cast DepthToSpace Flatten Identity Reshape Slice SpaceToDepth Split Squeeze Transpose "
    "Unsqueeze".split()
)
