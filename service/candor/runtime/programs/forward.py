"""Programs without a way back: the scores of a batch, the embedding of token ids."""

from candor.autodiff import Program
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_heads

__all__ = ["embedding", "forward"]


def forward(blueprint: Blueprint) -> Program:
    """x [n, ...] -> score, probability [n, k]."""
    graph = blueprint.graph.copy()
    add_heads(graph, blueprint)
    return graph.apart([SCORE, PROBABILITY])


def embedding(blueprint: Blueprint) -> Program:
    """Token ids [n, t] -> the embedding's output [n, t, d], under its own name."""
    embedded = [value for value in blueprint.values if value not in blueprint.inputs]
    return blueprint.graph.apart(embedded)
