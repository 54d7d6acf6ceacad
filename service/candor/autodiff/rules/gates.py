"""Masks and slopes in the forms that cost least, and factors moved to where they cost nothing.

ONNX Runtime's CPU provider keeps pictures in a blocked layout between convolutions, and copies a
picture out of it and back for every operator that it does not have there. In version 1.31 it has
Add, Sum, Mul of equal shapes, Relu, Sigmoid, Tanh, HardSigmoid, BatchNormalization and poolings.
"""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff.emitter import Emitter

__all__ = ["below", "channels_last", "complement", "gated", "positive", "scaled"]

_STEEP = 2.0**127  # times any normal float32 above zero: 1 or more


def positive(op: Emitter, y: str) -> str:
    """Return 1 where y > 0 and 0 elsewhere, for y >= 0: in float32 by a steep ramp."""
    if op.graph.dtype(y) != TensorProto.FLOAT:
        return op.Sign(y)
    return op.HardSigmoid(y, alpha=_STEEP, beta=0.0)


def below(op: Emitter, y: str, high: float) -> str:
    """Return 1 where y < high and 0 elsewhere, for y <= high, a number up to 128."""
    if op.graph.dtype(y) != TensorProto.FLOAT:
        return op.Sign(op.Sub(high, y))
    slope = 2.0**120  # a power of two, by which slope * high - slope * y is exact
    return op.HardSigmoid(y, alpha=-slope, beta=slope * high)


def complement(op: Emitter, y: str) -> str:
    """Return 1 - y, for 0 <= y <= 1."""
    if op.graph.dtype(y) != TensorProto.FLOAT:
        return op.Sub(1.0, y)
    return op.HardSigmoid(y, alpha=-1.0, beta=1.0)


def gated(op: Emitter, g: str, y: str, gate: Callable[[Emitter, str], str]) -> str:
    """Multiply g by a mask, made of y, of the same shape.

    Where g comes channels last, the mask is made there too: y leaves the blocked layout either
    way, and the product then enters it without a transposition between.
    """
    last = channels_last(op, g)
    if last is None:
        return op.Mul(g, gate(op, y))
    n = (op.graph.rank(last) or 3) - 2
    there = op.Transpose(y, perm=[0, *range(2, n + 2), 1])
    return op.Transpose(op.Mul(last, gate(op, there)), perm=[0, n + 1, *range(1, n + 1)])


def channels_last(op: Emitter, g: str) -> str | None:
    """Return [n, *spatial, c] if g is but the transpose of that."""
    node = op.graph.producer(g)
    if node is None or node.op_type != "Transpose":
        return None
    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
    first = len(perm) > 2 and perm == [0, len(perm) - 1, *range(1, len(perm) - 1)]
    return node.input[0] if first else None


def scaled(op: Emitter, g: str, scale: str, variance: str, epsilon: float) -> str:
    """Multiply each channel of g [n, c, *spatial] by scale / sqrt(variance + epsilon).

    A factor per channel and a mask may change places; before the mask comes a convolution as a
    rule, into whose weights the runtime then multiplies the factor.
    """
    node = op.graph.producer(g)
    if node is not None and node.op_type == "Mul":
        masked, mask = node.input
        if op.graph.shape(masked) == op.graph.shape(g) == op.graph.shape(mask):
            return op.Mul(scaled(op, masked, scale, variance, epsilon), mask)
    channels = (op.graph.shape(scale) or (None,))[0]
    if not isinstance(channels, int):
        factor = op.Div(scale, op.Sqrt(op.Add(variance, epsilon)))
        rank = op.graph.rank(g) or 2
        return op.Mul(g, op.Reshape(factor, [-1, *(1,) * (rank - 2)]))
    zeros = np.zeros(channels, helper.tensor_dtype_to_np_dtype(op.graph.dtype(scale)))
    return op.BatchNormalization(g, scale, zeros, zeros, variance, epsilon=epsilon)
