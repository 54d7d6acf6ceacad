"""Programs without a way back: the scores of a batch, the embedding of token ids."""

from onnx import ModelProto

from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_heads

__all__ = ["embedding", "forward"]


def forward(blueprint: Blueprint) -> ModelProto:
    """x [n, ...] -> score, probability [n, k]."""
    graph = blueprint.graph.copy()
    add_heads(graph, blueprint)
    return graph.finish([SCORE, PROBABILITY])


def embedding(blueprint: Blueprint) -> ModelProto:
    """Token ids [n, t] -> the embedding's output [n, t, d], under its own name."""
    embedded = [value for value in blueprint.values if value not in blueprint.inputs]
    return blueprint.graph.copy().finish(embedded)
