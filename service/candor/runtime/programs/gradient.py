"""Prediction and input gradient out of one run, and the same at many points made of one row."""

from collections.abc import Callable

from onnx import ModelProto, TensorProto

from candor.autodiff import Emitter, Graph, gradient
from candor.result import Explained
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.heads import PROBABILITY, SCORE, add_direction, add_heads
from candor.runtime.programs.interpose import fill, open_before_readers

__all__ = [
    "ALPHAS",
    "BASELINE",
    "GRADIENT",
    "NOISE",
    "ROW",
    "VALUE",
    "gradient_program",
    "noisy_program",
    "path_program",
]

GRADIENT = "candor.gradient"
VALUE = "candor.value"
ROW = "candor.row"
BASELINE = "candor.baseline"
ALPHAS = "candor.alphas"
NOISE = "candor.noise"

_COPIES = "candor.rows"


def gradient_program(blueprint: Blueprint, explained: Explained) -> ModelProto:
    """x [n, ...], direction [n, k] -> score, probability, gradient [n, ...], explained value."""
    graph = blueprint.graph.copy()
    _differentiate(graph, blueprint, blueprint.explained, explained)
    value = blueprint.explained
    if graph.dtype(value) != TensorProto.FLOAT:
        value = Emitter(graph, "candor/value").Cast(value, to=TensorProto.FLOAT)
    graph.add_output(value, VALUE)
    return graph.finish([SCORE, PROBABILITY, GRADIENT, VALUE])


def path_program(blueprint: Blueprint, explained: Explained) -> ModelProto:
    """One row run at m points of a line: the batch is made inside the graph.

    row [1, ...], baseline [1, ...] (of the explained value), alphas [m], direction [1, k] ->
    score, probability [m, k], gradient [m, ...].
    """
    graph = blueprint.graph.copy()
    shape = graph.shape(blueprint.explained) or ()
    baseline = graph.add_input(BASELINE, TensorProto.FLOAT, (1, *shape[1:]))
    alphas = graph.add_input(ALPHAS, TensorProto.FLOAT, (_COPIES,))

    def point(op: Emitter, end: str) -> str:
        column = op.Reshape(alphas, [-1, *[1] * (len(shape) - 1)])
        return op.Add(baseline, op.Mul(column, op.Sub(end, baseline)))

    return _at_points(graph, blueprint, explained, alphas, point)


def noisy_program(blueprint: Blueprint, explained: Explained) -> ModelProto:
    """One row run with m noises added to its explained value: the batch is made inside the graph.

    row [1, ...], noise [m, ...] (of the explained value), direction [1, k] ->
    score, probability [m, k], gradient [m, ...].
    """
    graph = blueprint.graph.copy()
    shape = graph.shape(blueprint.explained) or ()
    noise = graph.add_input(NOISE, TensorProto.FLOAT, (_COPIES, *shape[1:]))
    return _at_points(graph, blueprint, explained, noise, lambda op, end: op.Add(end, noise))


def _at_points(
    graph: Graph,
    blueprint: Blueprint,
    explained: Explained,
    counted: str,
    point: Callable[[Emitter, str], str],
) -> ModelProto:
    """Differentiate at points [m, ...] made of one row's explained value.

    `counted` is a value with m as its first extent; `point` makes the points of the row's value.
    """
    value, rows = blueprint.explained, blueprint.input
    behind_rows = open_before_readers(graph, rows)
    behind_value = behind_rows if value == rows else open_before_readers(graph, value)
    op = Emitter(graph, "candor/points")
    row = graph.add_input(ROW, graph.dtype(rows), (1, *(graph.shape(rows) or ())[1:]))
    end = row
    if value != rows:
        # What else reads the row (a padding mask, say) sees m copies of it.
        ones = [1] * (len(graph.shape(rows) or ()) - 1)
        copies = op.Concat(op.Shape(counted, start=0, end=1), ones, axis=0)
        fill(graph, behind_rows, op.Expand(row, copies))
        end = value
    dtype = graph.dtype(value)
    end = end if dtype == TensorProto.FLOAT else op.Cast(end, to=TensorProto.FLOAT)
    made = point(op, end)
    fill(graph, behind_value, made if dtype == TensorProto.FLOAT else op.Cast(made, to=dtype))
    _differentiate(graph, blueprint, behind_value, explained, directions=1)
    return graph.finish([SCORE, PROBABILITY, GRADIENT])


def _differentiate(
    graph: Graph,
    blueprint: Blueprint,
    wrt: str,
    explained: Explained,
    directions: int | str = "candor.directions",
) -> None:
    heads = add_heads(graph, blueprint)
    n_classes = max(2, blueprint.anatomy.n_classes)
    cotangent = add_direction(graph, heads, n_classes, directions)
    found = gradient(graph, {heads.of(explained): cotangent}, [wrt])[wrt]
    if graph.dtype(found) != TensorProto.FLOAT:
        found = Emitter(graph, "candor/gradient").Cast(found, to=TensorProto.FLOAT)
    graph.add_output(found, GRADIENT)
