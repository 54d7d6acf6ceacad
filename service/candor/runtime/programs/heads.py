"""The two ends of every program: scores and probabilities out, a direction over the classes in."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from candor.autodiff import Emitter, Graph
from candor.result import Explained
from candor.runtime.programs.blueprint import Blueprint

__all__ = ["DIRECTION", "PROBABILITY", "SCORE", "Heads", "add_direction", "add_heads"]

SCORE = "candor.score"
PROBABILITY = "candor.probability"
DIRECTION = "candor.direction"


@dataclass(frozen=True, slots=True)
class Heads:
    """Names of the values [n, k] before and after the activation."""

    score: str
    probability: str

    def of(self, explained: Explained) -> str:
        """The head that an explanation explains."""
        return self.score if explained == "score" else self.probability


def add_heads(graph: Graph, blueprint: Blueprint) -> Heads:
    """Declare score and probability as outputs, whatever the model itself ends in.

    A single logit becomes two classes: class 1 is the logit, class 0 its negative, and each has its
    sigmoid as probability. What is a probability already is both; a single one, of class 1.
    """
    op = Emitter(graph, "candor/heads")
    score = blueprint.anatomy.score
    if graph.rank(score) != 2:
        score = op.Flatten(score, axis=1)
    if graph.dtype(score) != TensorProto.FLOAT:
        score = op.Cast(score, to=TensorProto.FLOAT)
    single, activation = blueprint.anatomy.n_classes == 1, blueprint.activation
    if single:
        rest = op.Sub(np.float32(1), score) if activation == "none" else op.Neg(score)
        score = op.Concat(rest, score, axis=1)
    if activation == "none":
        probability = op.Identity(score)
    elif activation == "softmax" and not single:
        probability = op.Softmax(score, axis=1)
    else:
        probability = op.Sigmoid(score)
    return Heads(graph.add_output(score, SCORE), graph.add_output(probability, PROBABILITY))


def add_direction(
    graph: Graph, heads: Heads, n_classes: int, rows: int | str = "candor.directions"
) -> str:
    """Take the cotangent over the classes as an input, [n, k]; a row of zeros means its top class.

    Finding the top class in the graph lets a prediction and its explanation share one run. `rows`
    is 1 where one direction serves all: a session that fixes the number of rows must not fix this.
    """
    op = Emitter(graph, "candor/direction")
    given = graph.add_input(DIRECTION, TensorProto.FLOAT, (rows, n_classes))
    asked = op.Greater(op.ReduceMax(op.Abs(given), [1], keepdims=1), np.float32(0))
    top = op.ArgMax(heads.score, axis=1, keepdims=0)
    one_hot = op.OneHot(top, np.array(n_classes, np.int64), np.array([0, 1], np.float32))
    return op.Where(asked, given, one_hot)
