"""Rules of quantisation: the straight-through estimate, not a derivative.

Rounding has derivative zero, so it is passed as if it were not there; what saturates passes
nothing. Source: Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877.
The cotangent of a quantised value is a float, per step of the integer.
"""

from typing import Final

import numpy as np
from onnx import TensorProto

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.rules.extents import extent
from candor.autodiff.rules.table import Site, vjp

__all__ = ["range_of"]

_RANGES: Final[dict[int, tuple[float, float]]] = {
    TensorProto.INT4: (-8.0, 7.0),
    TensorProto.UINT4: (0.0, 15.0),
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT16: (-32768.0, 32767.0),
    TensorProto.UINT16: (0.0, 65535.0),
    TensorProto.FLOAT8E4M3FN: (-448.0, 448.0),
    TensorProto.FLOAT8E4M3FNUZ: (-240.0, 240.0),
    TensorProto.FLOAT8E5M2: (-57344.0, 57344.0),
    TensorProto.FLOAT8E5M2FNUZ: (-57344.0, 57344.0),
}

_SLACK: Final = 0.01
"""Steps by which a value may lie outside: white and black pixels stand at the very ends, and a
rounding error must not take their gradient."""

_WHOLE: Final = frozenset(
    {
        TensorProto.INT4,
        TensorProto.UINT4,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.INT16,
        TensorProto.UINT16,
    }
)


def range_of(op: Emitter, at: Site) -> tuple[float, float]:
    """Return the least and the greatest value that a node's first output can have."""
    dtype = op.graph.dtype(at.y)
    if dtype not in _RANGES:
        name = TensorProto.DataType.Name(dtype).lower()
        raise at.refusal(f"its type {name} is not built, only integers of 4 to 16 bits and float8")
    return _RANGES[dtype]


@vjp("QuantizeLinear", "com.microsoft.QuantizeLinear")
def quantize(op: Emitter, at: Site) -> list[str]:
    """Clip is what is differentiated; where the range begins at zero it is a rectifier as well."""
    low, high = range_of(op, at)
    scale = _aligned(op, at, at.node.input[1])
    level: str = op.Div(at.x, scale)
    if op.graph.dtype(at.y) in _WHOLE and (zero := at.operand(2)) is not None:
        level = op.Add(level, _aligned(op, at, op.Cast(zero, to=op.graph.dtype(at.x))))
    clipped = op.Clip(level, np.float32(low - _SLACK), np.float32(high + _SLACK))
    inside = op.Cast(op.Equal(level, clipped), to=op.graph.dtype(at.g))
    return [op.Mul(op.Div(at.g, scale), inside)]


@vjp("DequantizeLinear", "com.microsoft.DequantizeLinear")
def dequantize(op: Emitter, at: Site) -> list[str]:
    return [op.Mul(at.g, _aligned(op, at, at.node.input[1]))]


@vjp("DynamicQuantizeLinear")
def dynamic_quantize(op: Emitter, at: Site) -> list[str]:
    """Nothing saturates, since the range is the row's own.

    That the scale follows the operand need not be told: what it does to the integers and what it
    does to their meaning cancel, rounding apart.
    """
    return [op.Div(at.g, at.node.output[1])]


def _aligned(op: Emitter, at: Site, parameter: str) -> str:
    """Lay a parameter per tensor, channel or block along the axis that it belongs to."""
    if (op.graph.rank(parameter) or 0) == 0:
        return parameter
    rank = len(at.shape(0))
    lead = at.integer("axis", 1) % rank
    if block := at.integer("block_size", 0):
        return _repeated(op, at, parameter, lead, block)
    target: Operand = [1] * rank
    if op.graph.shape(parameter) != (1,):
        target = [-1 if axis == lead else 1 for axis in range(rank)]
    return op.Reshape(parameter, target)


def _repeated(op: Emitter, at: Site, parameter: str, axis: int, block: int) -> str:
    """Repeat each entry along an axis as often as a block is long; the last may be shorter."""
    known = extent(op, at.x, axis)
    if isinstance(known, list):
        return op.Gather(parameter, np.arange(known[0]) // block, axis=axis)
    places = op.Range(np.int64(0), op.Squeeze(known, [0]), np.int64(1))
    return op.Gather(parameter, op.Div(places, np.int64(block)), axis=axis)
