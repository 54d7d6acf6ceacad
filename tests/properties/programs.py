"""Random programs: a dozen operators in a graph, whose values are read more than once."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from properties.drawing import Draw, away, draws

__all__ = ["Program", "programs"]

I64 = np.int64
_UNARY = "Relu Sigmoid Tanh Softplus Elu Gelu Mish HardSwish Softsign Erf Sin Neg".split()


@dataclass
class Program:
    """Nodes and constants in the making, and the shape of every value so far."""

    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[tuple[str, list[str], dict[str, object]]] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, op: str, *operands: str, shape: tuple[int, ...], **attributes: object) -> None:
        self.shapes[f"v{len(self.nodes)}"] = shape
        self.nodes.append((op, list(operands), attributes))

    def __str__(self) -> str:
        lines = [f"v{i} = {op}({', '.join(operands)}) {attributes or ''}"
                 for i, (op, operands, attributes) in enumerate(self.nodes)]  # fmt: skip
        held = [f"{name} {array.shape}" for name, array in (self.inputs | self.constants).items()]
        return "\n".join([", ".join(held), *lines])

    def model(self, known: str) -> ModelProto:
        """Every value that nothing reads is a result; extents are known as in `model_of`."""
        nodes = [
            helper.make_node(op, operands, [f"v{i}"], **attributes)
            for i, (op, operands, attributes) in enumerate(self.nodes)
        ]
        read = {name for _, operands, _ in self.nodes for name in operands}
        results = [f"v{i}" for i in range(len(self.nodes)) if f"v{i}" not in read]
        free = {"all": 0, "all but batch": 1, "rank": 9}[known]
        inputs = [
            helper.make_tensor_value_info(
                name,
                TensorProto.DOUBLE,
                [f"{name}_{axis}" if axis < free else n for axis, n in enumerate(array.shape)],
            )
            for name, array in self.inputs.items()
        ]
        constants = [numpy_helper.from_array(a, name) for name, a in self.constants.items()]
        outputs = [helper.make_empty_tensor_value_info(name) for name in results]
        graph = helper.make_graph(nodes, "program", inputs, outputs, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def _unary(draw: Draw, into: Program, x: str) -> None:
    into.add(draw(st.sampled_from(_UNARY)), x, shape=into.shapes[x])


def _binary(draw: Draw, into: Program, x: str) -> None:
    fits = [y for y in into.shapes if _broadcast(into, x, y) is not None]
    y = draw(st.sampled_from(fits))
    op = draw(st.sampled_from(("Add", "Sub", "Mul", "Max", "Min")))
    into.add(op, x, y, shape=_broadcast(into, x, y) or ())


def _broadcast(into: Program, x: str, y: str) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(into.shapes[x], into.shapes[y])
    except ValueError:
        return None


def _scale(draw: Draw, into: Program, x: str) -> None:
    factor = into.constant(away(draw, *into.shapes[x][-1:]))
    into.add(draw(st.sampled_from(("Mul", "Add"))), x, factor, shape=into.shapes[x])


def _linear(draw: Draw, into: Program, x: str) -> None:
    if not into.shapes[x]:
        return
    *lead, k = into.shapes[x]
    width = draw(st.integers(1, 4))
    weight = into.constant(np.asarray(away(draw, k, width) / np.sqrt(k)))
    into.add("MatMul", x, weight, shape=(*lead, width))


def _product(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    fits = [y for y, other in into.shapes.items()
            if len(shape) == len(other) == 2 and shape[1] == other[0]]  # fmt: skip
    if fits:
        y = draw(st.sampled_from(fits))
        into.add("MatMul", x, y, shape=(shape[0], into.shapes[y][1]))


def _transpose(draw: Draw, into: Program, x: str) -> None:
    if not into.shapes[x]:
        return
    perm = draw(st.permutations(range(len(into.shapes[x]))))
    into.add("Transpose", x, shape=tuple(into.shapes[x][axis] for axis in perm), perm=perm)


def _reduce(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    if not shape:
        return
    axis, keep = draw(st.integers(0, len(shape) - 1)), draw(st.integers(0, 1))
    op = draw(st.sampled_from(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceLogSumExp")))
    left = (*shape[:axis], *[1] * keep, *shape[axis + 1 :])
    into.add(op, x, into.constant(np.array([axis], I64)), shape=left, keepdims=keep)


def _softmax(draw: Draw, into: Program, x: str) -> None:
    if into.shapes[x]:
        axis = draw(st.integers(-len(into.shapes[x]), -1))
        into.add("Softmax", x, shape=into.shapes[x], axis=axis)


def _slice(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    if not shape:
        return
    axis = draw(st.integers(0, len(shape) - 1))
    start = draw(st.integers(0, shape[axis] - 1))
    step = draw(st.sampled_from((1, 2)))
    bounds = [into.constant(np.array([v], I64)) for v in (start, shape[axis], axis, step)]
    size = len(range(start, shape[axis], step))
    into.add("Slice", x, *bounds, shape=(*shape[:axis], size, *shape[axis + 1 :]))


def _concat(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    if not shape:
        return
    axis = draw(st.integers(0, len(shape) - 1))
    rest = shape[:axis] + shape[axis + 1 :]
    fits = [
        y
        for y, other in into.shapes.items()
        if len(other) == len(shape) and other[:axis] + other[axis + 1 :] == rest
    ]
    y = draw(st.sampled_from(fits))
    whole = (*shape[:axis], shape[axis] + into.shapes[y][axis], *shape[axis + 1 :])
    if whole[axis] <= 12:
        into.add("Concat", x, y, shape=whole, axis=axis)


def _convolve(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    if len(shape) != 3:
        return
    m, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    kernel = draw(st.integers(1, 3))
    weight = into.constant(np.asarray(away(draw, m, shape[1], kernel) / np.sqrt(shape[1] * kernel)))
    size = (shape[2] + 2 - kernel) // stride + 1
    into.add("Conv", x, weight, shape=(shape[0], m, size), strides=[stride], pads=[1, 1],
             kernel_shape=[kernel])  # fmt: skip


def _pool(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    if len(shape) == 3 and shape[2] >= 2:
        op = draw(st.sampled_from(("MaxPool", "AveragePool")))
        into.add(op, x, shape=(*shape[:2], shape[2] - 1), kernel_shape=[2])


def _reshape(draw: Draw, into: Program, x: str) -> None:
    shape = into.shapes[x]
    if len(shape) > 1:
        cut = draw(st.integers(1, len(shape) - 1))
        sizes = (*shape[: cut - 1], shape[cut - 1] * shape[cut], *shape[cut + 1 :])
        if sizes[-1] <= 12:
            into.add("Reshape", x, into.constant(np.array(sizes, I64)), shape=sizes)


_STEPS: tuple[Callable[[Draw, Program, str], None], ...] = (
    _unary, _unary, _binary, _binary, _scale, _linear, _product, _transpose, _reduce, _softmax,
    _slice, _concat, _convolve, _convolve, _pool, _reshape,
)  # fmt: skip


@draws
def programs(draw: Draw) -> Program:
    """One or two inputs, one of them with three axes, and up to a dozen operators."""
    into = Program()
    first = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(2, 5)))
    second = (first[-1], draw(st.integers(1, 4)))
    for name, shape in list(zip("ab", (first, second), strict=True))[: draw(st.integers(1, 2))]:
        into.inputs[name] = away(draw, *shape)
        into.shapes[name] = shape
    for step in draw(st.lists(st.sampled_from(_STEPS), min_size=3, max_size=12)):
        values = list(into.shapes)
        step(draw, into, values[-1 - draw(st.integers(0, min(3, len(values) - 1)))])
    for name in into.inputs:  # every input has a way to a result
        if all(name not in operands for _, operands, _ in into.nodes):
            into.add("Tanh", name, shape=into.shapes[name])
    return into
