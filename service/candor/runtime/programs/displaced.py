"""Scores at a value that is given instead of computed: what finite differences need."""

from onnx import ModelProto

from candor.autodiff import Graph
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.heads import SCORE, add_heads

__all__ = ["DISPLACED", "displaced_program"]

DISPLACED = "candor.displaced"


def displaced_program(blueprint: Blueprint) -> ModelProto:
    """Rows [n, ...] and the explained value [n, ...] -> score [n, k].

    Where the explained value is the input itself, it is the only input, under its own name.
    """
    graph: Graph = blueprint.graph.copy()
    value = blueprint.explained
    if value not in graph.inputs:
        given = graph.add_input(DISPLACED, graph.dtype(value), graph.shape(value) or ())
        graph.replace_uses(value, given)
    add_heads(graph, blueprint)
    return graph.finish([SCORE])
