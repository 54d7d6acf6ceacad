"""Prediction and input gradient out of one run, and the same at many points made of one row."""

from collections.abc import Callable, Sequence

from onnx import ModelProto, TensorProto

from candor.autodiff import Emitter, Graph, gradient
from candor.result import Explained
from candor.runtime.programs.blueprint import Blueprint, nth
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
    """x [n, ...], direction [n, k] -> score, probability, gradient [n, ...], explained value.

    Of several inputs, here and below, each has its own x (or row), baseline, noise, gradient and
    value: `blueprint.nth` names them.
    """
    graph = blueprint.graph.copy()
    slopes = _differentiate(graph, blueprint, blueprint.values, explained)
    shown = []
    for position, value in enumerate(blueprint.values):
        real = value
        if graph.dtype(value) != TensorProto.FLOAT:
            real = Emitter(graph, "candor/value").Cast(value, to=TensorProto.FLOAT)
        shown.append(graph.add_output(real, nth(VALUE, position)))
    return graph.finish([SCORE, PROBABILITY, *slopes, *shown])


def path_program(blueprint: Blueprint, explained: Explained) -> ModelProto:
    """One row run at m points of a line: the batch is made inside the graph.

    row [1, ...], baseline [1, ...] (of the explained value), alphas [m], direction [1, k] ->
    score, probability [m, k], gradient [m, ...].
    """
    graph = blueprint.graph.copy()
    alphas = graph.add_input(ALPHAS, TensorProto.FLOAT, (_COPIES,))

    def point(op: Emitter, end: str, position: int) -> str:
        shape = graph.shape(blueprint.values[position]) or ()
        baseline = graph.add_input(nth(BASELINE, position), TensorProto.FLOAT, (1, *shape[1:]))
        column = op.Reshape(alphas, [-1, *[1] * (len(shape) - 1)])
        return op.Add(baseline, op.Mul(column, op.Sub(end, baseline)))

    return _at_points(graph, blueprint, explained, alphas, point)


def noisy_program(blueprint: Blueprint, explained: Explained) -> ModelProto:
    """One row run with m noises added to its explained value: the batch is made inside the graph.

    row [1, ...], noise [m, ...] (of the explained value), direction [1, k] ->
    score, probability [m, k], gradient [m, ...].
    """
    graph = blueprint.graph.copy()
    noises = [
        graph.add_input(
            nth(NOISE, position), TensorProto.FLOAT, (_COPIES, *(graph.shape(value) or ())[1:])
        )
        for position, value in enumerate(blueprint.values)
    ]

    def point(op: Emitter, end: str, position: int) -> str:
        return op.Add(end, noises[position])

    return _at_points(graph, blueprint, explained, noises[0], point)


def _at_points(
    graph: Graph,
    blueprint: Blueprint,
    explained: Explained,
    counted: str,
    point: Callable[[Emitter, str, int], str],
) -> ModelProto:
    """Differentiate at points [m, ...] made of one row's explained values.

    `counted` is a value with m as its first extent; `point` makes the points of a value of the row.
    """
    ends = list(zip(blueprint.inputs, blueprint.values, strict=True))
    # All of them first: what one input's points are made of must not read another's gap.
    gaps = {name: open_before_readers(graph, name) for end in ends for name in dict.fromkeys(end)}
    for position, (rows, value) in enumerate(ends):
        op = Emitter(graph, "candor/points")
        end = row = _row(graph, rows, position)
        if value != rows:
            # What else reads the row (a padding mask, say) sees m copies of it.
            _fill_copies(graph, op, gaps[rows], row, counted)
            end = value
        dtype = graph.dtype(value)
        end = end if dtype == TensorProto.FLOAT else op.Cast(end, to=TensorProto.FLOAT)
        made = point(op, end, position)
        fill(graph, gaps[value], made if dtype == TensorProto.FLOAT else op.Cast(made, to=dtype))
    for position, rows in enumerate(blueprint.held, len(ends)):
        gap = open_before_readers(graph, rows)
        row = _row(graph, rows, position)
        _fill_copies(graph, Emitter(graph, "candor/points"), gap, row, counted)
    wrt = [gaps[value] for value in blueprint.values]
    slopes = _differentiate(graph, blueprint, wrt, explained, directions=1)
    return graph.finish([SCORE, PROBABILITY, *slopes])


def _row(graph: Graph, rows: str, position: int) -> str:
    """One row of an input, as an input of the program."""
    return graph.add_input(
        nth(ROW, position), graph.dtype(rows), (1, *(graph.shape(rows) or ())[1:])
    )


def _fill_copies(graph: Graph, op: Emitter, gap: str, row: str, counted: str) -> None:
    ones = [1] * ((graph.rank(row) or 1) - 1)
    copies = op.Concat(op.Shape(counted, start=0, end=1), ones, axis=0)
    fill(graph, gap, op.Expand(row, copies))


def _differentiate(
    graph: Graph,
    blueprint: Blueprint,
    wrt: Sequence[str],
    explained: Explained,
    directions: int | str = "candor.directions",
) -> list[str]:
    heads = add_heads(graph, blueprint)
    n_classes = max(2, blueprint.anatomy.n_classes)
    cotangent = add_direction(graph, heads, n_classes, directions)
    found = gradient(graph, {heads.of(explained): cotangent}, wrt)
    slopes = []
    for position, value in enumerate(wrt):
        slope = found[value]
        if graph.dtype(slope) != TensorProto.FLOAT:
            slope = Emitter(graph, "candor/gradient").Cast(slope, to=TensorProto.FLOAT)
        slopes.append(graph.add_output(slope, nth(GRADIENT, position)))
    return slopes
