"""Quantised values, and which float operator each operator on them stands for.

A quantised value is an integer q (or a float of 8 bits and less) that means scale * (q - zero).
Sources: ONNX's operators; the contributed operators of ONNX Runtime (domain com.microsoft).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from onnx import NodeProto, TensorProto

__all__ = ["QUANTISED", "QUANTISERS", "STANDS_FOR", "Quantity", "Reading", "reading"]

QUANTISED: Final = frozenset(
    {
        TensorProto.INT4,
        TensorProto.UINT4,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.INT16,
        TensorProto.UINT16,
        TensorProto.INT32,
        TensorProto.FLOAT8E4M3FN,
        TensorProto.FLOAT8E4M3FNUZ,
        TensorProto.FLOAT8E5M2,
        TensorProto.FLOAT8E5M2FNUZ,
        TensorProto.FLOAT4E2M1,
    }
)
"""Element types of quantised values; int64 counts and selects, and is never one."""

_MS: Final = "com.microsoft."


class Quantity(NamedTuple):
    """Where a value is among a node's operands, and where its scale and zero are; -1: nowhere."""

    value: int
    scale: int = -1
    zero: int = -1


class Reading(NamedTuple):
    """A node read as a float operator on the meanings of its quantised operands.

    `plain` are operands that it takes as they are, before the others. `result` has the scale and
    zero of what it writes, None where that is a sum of integers or already a float.
    """

    op_type: str
    data: tuple[Quantity, ...]
    result: Quantity | None = None
    plain: tuple[int, ...] = ()


_ONE: Final = (Quantity(0, 1, 2),)
_TWO: Final = (Quantity(0, 1, 2), Quantity(3, 4, 5))
_TO_34: Final = Quantity(-1, 3, 4)
_TO_67: Final = Quantity(-1, 6, 7)

_FIXED: Final = {
    "ConvInteger": Reading("Conv", (Quantity(0, -1, 2), Quantity(1, -1, 3))),
    "MatMulInteger": Reading("MatMul", (Quantity(0, -1, 2), Quantity(1, -1, 3))),
    "QLinearConv": Reading("Conv", _TWO, _TO_67),
    "QLinearMatMul": Reading("MatMul", _TWO, _TO_67),
    f"{_MS}DynamicQuantizeMatMul": Reading("MatMul", (Quantity(0), Quantity(1, 2, 3))),
    f"{_MS}MatMulIntegerToFloat": Reading("MatMul", (Quantity(0, 2, 4), Quantity(1, 3, 5))),
    f"{_MS}QGemm": Reading("Gemm", _TWO, Quantity(-1, 7, 8)),
    f"{_MS}QLinearAdd": Reading("Add", _TWO, _TO_67),
    f"{_MS}QLinearAveragePool": Reading("AveragePool", _ONE, _TO_34),
    f"{_MS}QLinearConv": Reading("Conv", _TWO, _TO_67),
    f"{_MS}QLinearGlobalAveragePool": Reading("GlobalAveragePool", _ONE, _TO_34),
    f"{_MS}QLinearLeakyRelu": Reading("LeakyRelu", _ONE, _TO_34),
    f"{_MS}QLinearMul": Reading("Mul", _TWO, _TO_67),
    f"{_MS}QLinearSigmoid": Reading("Sigmoid", _ONE, _TO_34),
    f"{_MS}QLinearSoftmax": Reading("Softmax", _ONE, _TO_34),
    f"{_MS}QLinearWhere": Reading(
        "Where", (Quantity(1, 2, 3), Quantity(4, 5, 6)), Quantity(-1, 7, 8), plain=(0,)
    ),
}


def _concat(node: NodeProto) -> Reading:
    data = tuple(Quantity(i, i + 1, i + 2) for i in range(2, len(node.input), 3))
    return Reading("Concat", data, Quantity(-1, 0, 1))


def _fixed(op_type: str) -> Callable[[NodeProto], Reading]:
    return lambda _: _FIXED[op_type]


STANDS_FOR: Final[Mapping[str, Callable[[NodeProto], Reading]]] = MappingProxyType(
    {f"{_MS}QLinearConcat": _concat} | {op_type: _fixed(op_type) for op_type in _FIXED}
)
"""How each operator on quantised values is read, by its name in the tables of rules."""

QUANTISERS: Final = frozenset(
    {"DynamicQuantizeLinear", "QuantizeLinear", f"{_MS}QuantizeLinear", *STANDS_FOR}
)
"""Operators whose first output is quantised because they say so, whatever they read."""


def reading(node: NodeProto) -> Reading | None:
    """Read a node as a float operator; None if it is no operator on quantised values."""
    domain = node.domain if node.domain not in ("", "ai.onnx") else ""
    read = STANDS_FOR.get(f"{domain}.{node.op_type}" if domain else node.op_type)
    return None if read is None else read(node)
