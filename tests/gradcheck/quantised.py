"""Operators on quantised values, each between QuantizeLinear and DequantizeLinear, and float twins.

The twin computes with the same rounded operands as floats. Where nothing saturates, the
straight-through estimate of the one is the derivative of the other, at the rounded operands.
"""

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, numpy_helper, parser

__all__ = ["CASES", "IntegerCase", "float_twin", "quantised_model"]

_SCALE, _ZERO = np.float32(0.02), np.uint8(120)  # -2.4 to 2.7
_WIDE = np.float32(0.25)  # of results: -30 to 33.75, where nothing of these cases gets to


@dataclass(frozen=True)
class IntegerCase:
    """An operator: its text, with q for the quantised operand, p = Q(q's result), and weights.

    `twin` is the same of floats: x is the dequantised operand, and y is the result.
    """

    op: str
    text: str
    twin: str
    row: tuple[int, ...] = (4,)
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Axes of the result."""
        return 2 if self.op == "Transpose" else 1 + len(self.row)

    def __str__(self) -> str:
        return f"{self.op}-{'x'.join(map(str, self.row))}-{len(self.text)}"


_RNG = np.random.default_rng(11)
_W = _RNG.integers(-90, 90, (4, 5)).astype(np.int8)
_WS = _RNG.uniform(0.005, 0.01, 5).astype(np.float32)
_K = _RNG.integers(-90, 90, (6, 2, 3, 3)).astype(np.int8)
_KS = _RNG.uniform(0.005, 0.01, 6).astype(np.float32)
_ROWS = {"w": _W, "ws": np.float32(0.01), "wz": np.int8(3)}
_COLUMNS = {"w": _W, "ws": _WS, "wz": np.zeros(5, np.int8)}
_IMAGE = (4, 7, 7)
_KERNEL = {"k": _K, "ks": _KS, "kz": np.zeros(6, np.int8)}
_Y = "y = DequantizeLinear(p, v, z)"
_DEQUANTISED = "f = Cast <to = 1>(w) fz = Cast <to = 1>(wz) c = Sub(f, fz) r = Mul(c, ws) "
_MS = "com.microsoft."


def _one(op: str, twin: str, attributes: str = "", row: tuple[int, ...] = (3, 4)) -> IntegerCase:
    text = f"p = {_MS}{op} <{attributes}>(q, s, z, v, z) {_Y}".replace(" <>", "")
    return IntegerCase(f"{_MS}{op}", text, twin, row)


CASES = [
    IntegerCase(
        "QLinearMatMul",
        f"p = QLinearMatMul(q, s, z, w, ws, wz, v, z) {_Y}",
        _DEQUANTISED + "y = MatMul(x, r)",
        weights=_COLUMNS,
    ),
    IntegerCase(
        "QLinearMatMul",
        f"p = QLinearMatMul(q, s, z, w, ws, wz, v, z) {_Y}",
        _DEQUANTISED + "y = MatMul(x, r)",
        row=(3, 4),
        weights=_ROWS,
    ),
    IntegerCase(
        "QLinearConv",
        "p = QLinearConv <group = 2, strides = [2, 1], pads = [1, 1, 0, 1]>"
        f"(q, s, z, k, ks, kz, v, z) {_Y}",
        "r = DequantizeLinear <axis = 0>(k, ks, kz) "
        "y = Conv <group = 2, strides = [2, 1], pads = [1, 1, 0, 1]>(x, r)",
        _IMAGE,
        _KERNEL,
    ),
    IntegerCase(
        f"{_MS}QLinearConv",
        f"p = {_MS}QLinearConv <group = 2, pads = [1, 1, 1, 1]>(q, s, z, k, ks, kz, v, z) {_Y}",
        "r = DequantizeLinear <axis = 0>(k, ks, kz) "
        "y = Conv <group = 2, pads = [1, 1, 1, 1]>(x, r)",
        _IMAGE,
        _KERNEL,
    ),
    IntegerCase(
        "ConvInteger",
        "i = ConvInteger <group = 2>(q, k, z) f = Cast <to = 1>(i) y = Mul(f, s)",
        "r = Cast <to = 1>(k) y = Conv <group = 2>(x, r)",
        _IMAGE,
        {"k": _K},
    ),
    IntegerCase(
        "MatMulInteger",
        "i = MatMulInteger(q, w, z, wz) j = Add(i, b) f = Cast <to = 1>(j) y = Mul(f, s)",
        "f = Cast <to = 1>(w) fz = Cast <to = 1>(wz) r = Sub(f, fz) m = MatMul(x, r) "
        "g = Cast <to = 1>(b) h = Mul(g, s) y = Add(m, h)",
        weights=_ROWS | {"b": np.arange(5, dtype=np.int32)},
    ),
    IntegerCase(
        f"{_MS}MatMulIntegerToFloat",
        f"y = {_MS}MatMulIntegerToFloat(q, w, s, ws, z, wz)",
        _DEQUANTISED + "y = MatMul(x, r)",
        weights=_COLUMNS,
    ),
    IntegerCase(
        f"{_MS}DynamicQuantizeMatMul",
        f"d = DequantizeLinear(q, s, z) y = {_MS}DynamicQuantizeMatMul(d, w, ws, wz)",
        _DEQUANTISED + "y = MatMul(x, r)",
        weights=_COLUMNS,
    ),
    IntegerCase(
        f"{_MS}QGemm",
        f"p = {_MS}QGemm <transB = 1>(q, s, z, t, ws, wz, , v, z) {_Y}",
        "f = Cast <to = 1>(w) r = Mul(f, ws) y = MatMul(x, r)",
        weights=_COLUMNS | {"t": np.ascontiguousarray(_W.T)},
    ),
    IntegerCase(
        f"{_MS}QGemm",
        f"y = {_MS}QGemm <alpha = 0.5>(q, s, z, w, ws, wz)",
        "f = Cast <to = 1>(w) r = Mul(f, ws) m = MatMul(x, r) y = Mul(m, half)",
        weights=_COLUMNS | {"half": np.float32(0.5)},
    ),
    IntegerCase(
        f"{_MS}QLinearAdd",
        f"e = Identity(q) p = {_MS}QLinearAdd(q, s, z, w, ws, wz, v, z) "
        f"o = {_MS}QLinearAdd(p, v, z, e, s, z, v, z) y = DequantizeLinear(o, v, z)",
        "r = DequantizeLinear(w, ws, wz) a = Add(x, r) y = Add(a, x)",
        (4, 5),
        {"w": _W.view(np.uint8), "ws": np.float32(0.01), "wz": np.uint8(120)},
    ),
    IntegerCase(
        f"{_MS}QLinearMul",
        f"p = {_MS}QLinearMul(q, s, z, w, ws, wz, v, z) {_Y}",
        "r = DequantizeLinear(w, ws, wz) y = Mul(x, r)",
        (4, 5),
        {"w": _W.view(np.uint8), "ws": np.float32(0.01), "wz": np.uint8(120)},
    ),
    IntegerCase(
        f"{_MS}QLinearWhere",
        f"p = {_MS}QLinearWhere(c, q, s, z, w, ws, wz, v, z) {_Y}",
        "r = DequantizeLinear(w, ws, wz) y = Where(c, x, r)",
        (4, 5),
        {
            "c": _W > 0,
            "w": _W.view(np.uint8),
            "ws": np.float32(0.01),
            "wz": np.uint8(120),
        },
    ),
    IntegerCase(
        f"{_MS}QLinearConcat",
        f"p = {_MS}QLinearConcat <axis = 1>(v, z, q, s, z, q, s, z) {_Y}",
        "y = Concat <axis = 1>(x, x)",
    ),
    _one("QLinearLeakyRelu", "y = LeakyRelu <alpha = 0.3>(x)", "alpha = 0.3"),
    _one("QLinearGlobalAveragePool", "y = GlobalAveragePool(x)", row=_IMAGE),
    _one(
        "QLinearAveragePool",
        "y = AveragePool <kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 0]>(x)",
        "kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 1, 0]",
        _IMAGE,
    ),
    # Slopes of these two depend on the result, which is rounded: the twin's must be as well.
    IntegerCase(
        f"{_MS}QLinearSigmoid",
        f"p = {_MS}QLinearSigmoid(q, s, z, fine, low) y = DequantizeLinear(p, fine, low)",
        "y = Sigmoid(x)",
        weights={"fine": np.float32(1 / 256), "low": np.uint8(0)},
    ),
    IntegerCase(
        f"{_MS}QLinearSoftmax",
        f"p = {_MS}QLinearSoftmax <axis = 1, opset = 13>(q, s, z, fine, low) "
        "y = DequantizeLinear(p, fine, low)",
        "y = Softmax <axis = 1>(x)",
        weights={"fine": np.float32(1 / 256), "low": np.uint8(0)},
    ),
    # Operators that know nothing of scales, on the integers themselves.
    IntegerCase(
        "MaxPool",
        "p = MaxPool <kernel_shape = [3, 3], strides = [2, 2]>(q) y = DequantizeLinear(p, s, z)",
        "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]>(x)",
        _IMAGE,
    ),
    IntegerCase(
        "Transpose",
        "a = Transpose <perm = [0, 2, 1]>(q) b = Reshape(a, shape) "
        "c = Slice(b, starts, ends, axes) p = Concat <axis = 1>(c, b) "
        "y = DequantizeLinear(p, s, z)",
        "a = Transpose <perm = [0, 2, 1]>(x) b = Reshape(a, shape) "
        "c = Slice(b, starts, ends, axes) y = Concat <axis = 1>(c, b)",
        (3, 4),
        {
            "shape": np.array([0, -1]),
            "starts": np.array([1]),
            "ends": np.array([9]),
            "axes": np.array([1]),
        },
    ),
    IntegerCase(
        "Clip",
        "p = Clip(q, z, top) a, b = Split <axis = 1, num_outputs = 2>(p) o = Max(a, b) "
        "y = DequantizeLinear(o, s, z)",
        "p = Clip(x, zero, end) a, b = Split <axis = 1, num_outputs = 2>(p) y = Max(a, b)",
        (6,),
        {"top": np.uint8(200), "zero": np.float32(0), "end": np.float32(1.6)},
    ),
]


def quantised_model(case: IntegerCase) -> ModelProto:
    """x float [n, *row] -> y float."""
    return _built(case, f"q = QuantizeLinear(x, s, z) {case.text}")


def float_twin(case: IntegerCase) -> ModelProto:
    """The same with the operand given in floats."""
    return _built(case, case.twin)


def _built(case: IntegerCase, text: str) -> ModelProto:
    row = ", ".join(map(str, case.row))
    made = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]> '
        f"g (float[n, {row}] x) => (float[{', '.join('abcd'[: case.rank])}] y) {{ {text} }}"
    )
    weights = {"s": _SCALE, "z": _ZERO, "v": _WIDE, **case.weights}
    read = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in weights.items()
        if name in read
    )
    return made
