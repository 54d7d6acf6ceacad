"""Of several inputs, whose positions a layer has: those that its map is drawn for."""

from collections.abc import Mapping
from dataclasses import replace

from candor.autodiff import Graph
from candor.autodiff.layers import path_between
from candor.autodiff.order import operands
from candor.autodiff.recurrent_layers import STATES
from candor.runtime.programs.blueprint import Blueprint, End

__all__ = ["inputs_of_layers", "with_layers"]

_N_AXES: Mapping[str, int] = {"image": 2, "series": 1, "tokens": 1, "tabular": 0}


def inputs_of_layers(blueprint: Blueprint) -> dict[str, tuple[int, ...]]:
    """For each layer the positions, among the ends, of the inputs that it is a map of.

    These have as many axes as the layers (pictures, where one input is a picture), and flow into
    the layer place by place: what is averaged over all places on the way, and then weighs another
    input's, is on the way to the layer, and not where its places are.
    """
    graph, ends = blueprint.graph, blueprint.ends
    layers = {layer.name: layer.layout is STATES for layer in blueprint.anatomy.layers}
    if blueprint.anatomy.cam_head is not None:
        layers.setdefault(blueprint.anatomy.cam_head.layer, False)
    most = max((_N_AXES[end.geometry.kind] for end in ends), default=0)
    found: dict[str, tuple[int, ...]] = dict.fromkeys(layers, ())
    for position, end in enumerate(ends):
        if most == 0 or _N_AXES[end.geometry.kind] != most:
            continue
        spread = _spread(graph, end)
        reached = path_between(graph, [end.input], blueprint.anatomy.score)
        for layer, is_states in layers.items():
            # The states of a recurrent layer lie otherwise than what it read.
            if layer in (reached if is_states else spread):
                found[layer] = (*found[layer], position)
    return found


def with_layers(blueprint: Blueprint) -> tuple[End, ...]:
    """The ends, each with the layers that have its positions."""
    of_layers = inputs_of_layers(blueprint)
    return tuple(
        replace(end, layers=tuple(name for name, own in of_layers.items() if at in own))
        for at, end in enumerate(blueprint.ends)
    )


def _spread(graph: Graph, end: End) -> set[str]:
    """The values that an input flows into with its places apart."""
    known = {end.value}
    for node in graph.nodes:
        if not known.isdisjoint(operands(node)):
            known.update(name for name in node.output if name and _has_places(graph, name))
    return known


def _has_places(graph: Graph, value: str) -> bool:
    shape = graph.shape(value)
    if shape is None:
        return True
    wide = [extent for extent in shape[1:] if extent != 1]
    return len(shape) > 2 and len(wide) > 1
