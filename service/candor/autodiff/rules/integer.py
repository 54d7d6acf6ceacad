"""Rules of operators that compute on quantised values, by the float operators they stand for.

What comes back is the straight-through estimate of `rules.quantize`: rounding passes everything,
and a result at an end of its integers' range passes nothing. The latter is also the slope of a
rectifier that the quantiser left to the range.
"""

from typing import Final

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.quantised import STANDS_FOR, Quantity, Reading, reading
from candor.autodiff.rules.quantize import range_of
from candor.autodiff.rules.table import ALL, RULES, Site, vjp

__all__: list[str] = []

_LINEAR: Final = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that are linear in their second operand: a constant one can take the scales in."""


@vjp(*STANDS_FOR, operands=ALL)
def quantised(op: Emitter, at: Site) -> list[str | None]:
    read = _read(at)
    ratio = _ratio(op, at, read, read.data[0])
    absorbs = read.op_type in _LINEAR and at.wanted == {read.data[0].value}
    weight = _constant(at, read, ratio) if absorbs else None
    twin = _twin(op, at, read, weight)
    rule = RULES[read.op_type]
    places = rule.differentiable(twin.node)
    pulled: list[str | None] = [None] * len(at.node.input)
    for place, cotangent in zip(places, rule.apply(op, twin), strict=True):
        if place in twin.wanted and cotangent is not None:
            quantity = read.data[place - len(read.plain)]
            factor = None if weight is not None else _ratio(op, at, read, quantity)
            pulled[quantity.value] = cotangent if factor is None else op.Mul(cotangent, factor)
    return pulled


def _read(at: Site) -> Reading:
    read = reading(at.node)
    if read is None or at.integer("channels_last", 0):
        raise at.refusal("channels_last is not built")
    if read.op_type == "Softmax" and at.integer("opset", 13) < 13 and len(at.shape(0)) != 2:
        raise at.refusal("it flattens its operand, as Softmax did before opset 13")
    if read.result is not None and at.operand(read.result.scale) is None:
        return read._replace(result=None)  # QGemm without a scale writes floats
    return read


def _twin(op: Emitter, at: Site, read: Reading, weight: np.ndarray | None) -> Site:
    """Read the node as a float operator; what the rule of that does not read costs nothing."""
    names = [at.node.input[index] for index in read.plain]
    for place in range(len(read.data)):
        absorbed = weight if place == 1 else None
        names.append(_meaning(op, at, read, place) if absorbed is None else op.constant(absorbed))
    result, g = at.y, at.g
    if read.result is not None:
        result = _dequantised(op, at, read.result)
        g = _gated(op, at)
    node = helper.make_node(read.op_type, names, [result], at.node.name)
    node.attribute.extend(a for a in at.node.attribute if a.name not in {"channels_last", "opset"})
    lead = len(read.plain)
    wanted = {lead + i for i, quantity in enumerate(read.data) if quantity.value in at.wanted}
    return Site(op.graph, node, (g,), frozenset(wanted), at.walk)


def _gated(op: Emitter, at: Site) -> str:
    """Let the cotangent through where the result is inside its range.

    Bytes are compared as bytes: on a CPU that takes a quarter of the time that floats take.
    """
    low, high = range_of(op, at)
    dtype = op.graph.dtype(at.y)
    level = at.y
    if dtype not in {TensorProto.INT8, TensorProto.UINT8}:
        level, dtype = op.Cast(level, to=TensorProto.FLOAT), TensorProto.FLOAT
    number = helper.tensor_dtype_to_np_dtype(dtype).type
    inside = op.Equal(op.Clip(level, number(low + 1), number(high - 1)), level)
    return op.Mul(at.g, op.Cast(inside, to=op.graph.dtype(at.g) or TensorProto.FLOAT))


def _ratio(op: Emitter, at: Site, read: Reading, quantity: Quantity) -> str | None:
    """Return what a step of an operand is in steps of the result; None for 1."""
    over = _named(at, quantity.scale)
    under = None if read.result is None else _named(at, read.result.scale)
    if over is None:
        return None if under is None else op.Reciprocal(under)
    if op.graph.rank(over) not in (0, None) and op.graph.shape(over) != (1,):
        raise at.refusal(f"'{over}' is a scale per row, only one for the whole operand is built")
    known = at.graph.constant(over), None if under is None else at.graph.constant(under)
    if known[0] is not None and known[1] is not None:
        return op.constant(np.asarray(known[0] / known[1], np.float32).reshape(()))
    return over if under is None else op.Div(over, under)


def _constant(at: Site, read: Reading, ratio: str | None) -> np.ndarray | None:
    """Return the meaning of the second operand, times the ratio of the scales; None if unknown."""
    factor = None if ratio is None else at.graph.constant(ratio)
    meaning = _folded(at, read, 1)
    if meaning is None or (ratio is not None and factor is None):
        return None
    return meaning if factor is None else meaning * factor.reshape(())


def _meaning(op: Emitter, at: Site, read: Reading, place: int) -> str:
    if (folded := _folded(at, read, place)) is not None:
        return op.constant(folded)
    return _dequantised(op, at, read.data[place])


def _folded(at: Site, read: Reading, place: int) -> np.ndarray | None:
    quantity = read.data[place]
    named = [_named(at, index) for index in quantity]
    value, scale, zero = (None if n is None else at.graph.constant(n) for n in named)
    unknown = any(n is not None and at.graph.constant(n) is None for n in named)
    if value is None or unknown:
        return None
    rank = value.ndim
    axis = 0 if read.op_type == "Conv" or at.integer("transB", 0) else rank - 1
    meaning = value.astype(np.float32)
    if zero is not None:
        meaning = meaning - _laid(zero.astype(np.float32), rank, axis)
    if scale is not None:
        meaning = meaning * _laid(scale.astype(np.float32), rank, axis)
    return np.ascontiguousarray(meaning)


def _laid(parameter: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """Lay a parameter per channel along its axis; one per tensor fits anywhere."""
    if parameter.size == 1:
        return parameter.reshape(())
    if parameter.ndim != 1:
        return parameter
    return parameter.reshape([-1 if i == axis else 1 for i in range(rank)])


def _dequantised(op: Emitter, at: Site, quantity: Quantity) -> str:
    """Return what an operand means, or what the result does; per tensor."""
    meaning: str = op.Cast(_named(at, quantity.value) or at.y, to=TensorProto.FLOAT)
    if (zero := _named(at, quantity.zero)) is not None:
        meaning = op.Sub(meaning, op.Cast(zero, to=TensorProto.FLOAT))
    if (scale := _named(at, quantity.scale)) is not None:
        meaning = op.Mul(meaning, scale)
    return meaning


def _named(at: Site, index: int) -> str | None:
    return None if index < 0 else at.operand(index)
