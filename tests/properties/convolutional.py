"""Random convolutional classifiers: chains, branches that meet again, and heads."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

from properties.drawing import Draw

__all__ = ["Classifier", "classifiers"]


@dataclass(repr=False)
class Classifier:
    """A graph in the making; `x` is [n, c, *positions]."""

    rng: np.random.Generator
    extents: tuple[int, ...]
    channels: int = 3
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return "\n".join([f"positions {self.extents}", *self.said])

    def constant(self, *shape: int, like: np.ndarray | None = None) -> str:
        array = self.rng.normal(size=shape).astype(np.float32) if like is None else like
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, op: str, *operands: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, operands, [name], name=name, **attributes))
        self.said.append(f"{name} = {op}({', '.join(operands)}) {attributes or ''}")
        return name

    def model(self) -> ModelProto:
        """For any number of rows; the last value is the score of 5 classes."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, *self.extents])
        score = self.nodes[-1].output[0]
        y = helper.make_tensor_value_info(score, TensorProto.FLOAT, ["n", 5])
        graph = helper.make_graph(self.nodes, "classifier", [x], [y], self.constants)
        opset = helper.make_opsetid("", 21)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)

    def shape(self, value: str) -> tuple[int, ...]:
        """Of a value, for one row."""
        if value == "x":
            return (1, 3, *self.extents)
        found = helper.make_empty_tensor_value_info(value)
        graph = helper.make_graph(
            self.nodes,
            "part",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *self.extents])],
            [found],
            self.constants,
        )
        known = infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
        output = next(v for v in known.graph.output if v.name == value)
        return tuple(d.dim_value for d in output.type.tensor_type.shape.dim)


def _convolution(draw: Draw, into: Classifier, x: str, *, keeps: bool = False) -> str:
    """`keeps`: as many positions come out as go in."""
    channels, n = into.shape(x)[1], len(into.extents)
    made = draw(st.sampled_from([channels] if keeps else [5, 16, 32]))
    groups = draw(st.sampled_from([g for g in (1, 2, channels) if not (channels % g or made % g)]))
    kernel = [draw(st.sampled_from([1, 3, 5] if keeps else [1, 2, 3, 5])) for _ in range(n)]
    dilations = [draw(st.integers(1, 2)) for _ in range(n)]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    strides = [1 if keeps else draw(st.integers(1, 3)) for _ in range(n)]
    begins = [s // 2 if keeps else draw(st.integers(0, min(s - 1, 2))) for s in spans]
    ends = [s // 2 if keeps else draw(st.integers(0, min(s - 1, 3))) for s in spans]
    scale = (channels // groups * np.prod(kernel)) ** -0.5
    weight = into.rng.normal(size=(made, channels // groups, *kernel), scale=scale)
    operands = [x, into.constant(like=weight.astype(np.float32))]
    if draw(st.booleans()):
        operands.append(into.constant(made))
    return into.add(
        "Conv", *operands, kernel_shape=kernel, strides=strides, dilations=dilations,
        pads=[*begins, *ends], group=groups,
    )  # fmt: skip


def _pooling(draw: Draw, into: Classifier, x: str) -> str:
    n = len(into.extents)
    op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
    kernel = [draw(st.integers(2, 3)) for _ in range(n)]
    pads = [draw(st.integers(0, k // 2)) for k in kernel] * 2
    attributes: dict[str, object] = {"ceil_mode": draw(st.integers(0, 1))}
    if op == "AveragePool":
        attributes["count_include_pad"] = draw(st.integers(0, 1))
    # Further apart than they are wide, a last window may begin behind everything, which ONNX counts
    # and ONNX Runtime does not.
    strides = [draw(st.integers(1, k)) for k in kernel]
    return into.add(op, x, kernel_shape=kernel, strides=strides, pads=pads, **attributes)


def _activation(draw: Draw, into: Classifier, x: str) -> str:
    return into.add(draw(st.sampled_from("Relu Sigmoid Tanh LeakyRelu Softplus".split())), x)


def _normalisation(_: Draw, into: Classifier, x: str) -> str:
    c = into.shape(x)[1]
    spread = into.constant(like=into.rng.uniform(0.5, 2, c).astype(np.float32))
    return into.add(
        "BatchNormalization", x, into.constant(c), into.constant(c), into.constant(c), spread
    )


def _scaled(draw: Draw, into: Classifier, x: str) -> str:
    c, ones = into.shape(x)[1], [1] * len(into.extents)
    return into.add(draw(st.sampled_from(["Mul", "Add"])), into.constant(c, *ones), x)


def _placed(_: Draw, into: Classifier, x: str) -> str:
    """A constant that differs from position to position is no patch."""
    return into.add("Add", x, into.constant(1, *into.shape(x)[1:]))


def _residual(draw: Draw, into: Classifier, x: str) -> str:
    inner = _activation(draw, into, _convolution(draw, into, x, keeps=True))
    return into.add("Add", x, _convolution(draw, into, inner, keeps=True))


def _joined(draw: Draw, into: Classifier, x: str) -> str:
    one = _activation(draw, into, _convolution(draw, into, x, keeps=True))
    two = _convolution(draw, into, x, keeps=True)
    return into.add("Concat", one, two, *([x] if draw(st.booleans()) else []), axis=1)


def _squeezed(_: Draw, into: Classifier, x: str) -> str:
    """A gate that sees all positions."""
    return into.add("Mul", x, into.add("Sigmoid", into.add("GlobalAveragePool", x)))


def _turned(draw: Draw, into: Classifier, x: str) -> str:
    """Channels last for one operator, and back."""
    n = len(into.extents)
    last = into.add("Transpose", x, perm=[0, *range(2, n + 2), 1])
    return into.add("Transpose", _activation(draw, into, last), perm=[0, n + 1, *range(1, n + 1)])


def _flat(draw: Draw, into: Classifier, x: str) -> str:
    """As exports write it: by a name for it, or with the number of rows of some value."""
    if draw(st.booleans()):
        return into.add("Flatten", x)
    n = into.add("Shape", draw(st.sampled_from(["x", x])), start=0, end=1)
    rest = into.constant(like=np.array([-1]))
    return into.add("Reshape", x, into.add("Concat", n, rest, axis=0))


_STEPS = [
    _convolution, _convolution, _convolution, _pooling, _activation, _activation, _normalisation,
    _scaled, _placed, _residual, _residual, _joined, _squeezed, _turned,
]  # fmt: skip


@st.composite
def classifiers(draw: Draw) -> Classifier:
    """A classifier of pictures or series."""
    n = draw(st.sampled_from([1, 2, 2, 2]))
    extents = tuple(draw(st.integers(9, 30)) for _ in range(n))
    into = Classifier(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), extents)
    x = _convolution(draw, into, "x")
    for _ in range(draw(st.integers(1, 6))):
        fits = min(into.shape(x)[2:]) >= 9  # the widest window
        steps = [s for s in _STEPS if fits or s not in (_convolution, _pooling)]
        x = draw(st.sampled_from(steps))(draw, into, x)
    shape = into.shape(x)
    if draw(st.booleans()):
        features, width = _flat(draw, into, into.add("GlobalAveragePool", x)), shape[1]
    else:
        features, width = _flat(draw, into, x), int(np.prod(shape[1:]))
    into.add("Gemm", features, into.constant(width, 5))
    return into
