"""Rules of quantisation: the straight-through estimate, not a derivative.

Rounding has derivative zero, so it is passed as if it were not there; what saturates passes
nothing. Source: Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877.
The cotangent of a quantised value is a float, per step of the integer.
"""

from typing import Final

from onnx import TensorProto

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []

_RANGES: Final[dict[int, tuple[float, float]]] = {
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT16: (-32768.0, 32767.0),
    TensorProto.UINT16: (0.0, 65535.0),
}


@vjp("QuantizeLinear")
def quantize(op: Emitter, at: Site) -> list[str]:
    dtype = op.graph.dtype(at.y)
    if dtype not in _RANGES:
        name = TensorProto.DataType.Name(dtype).lower()
        raise at.refusal(f"its type {name} is not built, only 8 and 16 bit integers")
    low, high = _RANGES[dtype]
    scale = _aligned(op, at, at.node.input[1])
    level: str = op.Round(op.Div(at.x, scale))
    if (zero := at.operand(2)) is not None:
        level = op.Add(level, op.Cast(_aligned(op, at, zero), to=op.graph.dtype(at.x)))
    inside = op.And(op.GreaterOrEqual(level, low), op.LessOrEqual(level, high))
    return [op.Where(inside, op.Div(at.g, scale), 0.0)]


@vjp("DequantizeLinear")
def dequantize(op: Emitter, at: Site) -> list[str]:
    return [op.Mul(at.g, _aligned(op, at, at.node.input[1]))]


def _aligned(op: Emitter, at: Site, parameter: str) -> str:
    """Lay a parameter per tensor or per channel along the axis that it belongs to."""
    if at.integer("block_size", 0):
        raise at.refusal("block_size is not built")
    if (op.graph.rank(parameter) or 0) == 0:
        return parameter
    rank = len(at.shape(0))
    target: Operand = [1] * rank
    if op.graph.shape(parameter) != (1,):
        lead = at.integer("axis", 1) % rank
        target = [-1 if axis == lead else 1 for axis in range(rank)]
    return op.Reshape(parameter, target)
