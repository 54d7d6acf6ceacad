"""Masks and slopes in the forms that cost least, and factors moved to where they cost nothing.

ONNX Runtime's CPU provider keeps pictures in a blocked layout between convolutions, and copies a
picture out of it and back for every operator that it does not have there. In version 1.31 it has
Add, Sum, Mul of equal shapes, Relu, Sigmoid, Tanh, HardSigmoid, BatchNormalization and poolings.
"""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.maxima import before_pool
from candor.autodiff.rules.moves import blocked, numbers
from candor.autodiff.rules.table import Site
from candor.autodiff.rules.weave import each_part

__all__ = ["below", "channels_last", "complement", "gated", "positive", "scaled", "times"]

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


def gated(op: Emitter, at: Site, gate: Callable[[Emitter, str], str]) -> str:
    """Multiply the cotangent of y by a mask, made of y, that rises or falls with y.

    Where it comes from the maxima over windows of y, those are masked: there are fewer of them.
    """
    found = at.woven.get(at.g)
    pool = None if found is None else found.pool
    if pool is not None and pool.x == at.y:
        before = before_pool(op, at, lambda g: op.Mul(g, gate(op, pool.y)))
        if before is not None:
            return before
    parted = None
    if blocked(op, at.g, at.y):
        parted = each_part(op, at, lambda part, take: op.Mul(part, gate(op, take(at.y))))
    return _times(op, at.g, gate(op, at.y)) if parted is None else parted


def times(op: Emitter, at: Site, factor: str) -> str:
    """Multiply the cotangent at a site by a value of its shape, in parts where it comes so."""
    parted = None
    if blocked(op, at.g, factor):
        parted = each_part(op, at, lambda part, take: op.Mul(part, take(factor)))
    return _times(op, at.g, factor) if parted is None else parted


def _times(op: Emitter, g: str, factor: str) -> str:
    """Multiply g by a value of its shape.

    Where it comes channels last, there: the factor leaves the blocked layout either way, and the
    product then enters it without a transposition between.
    """
    last = channels_last(op, g)
    if last is None:
        return op.Mul(numbers(op, g), factor)
    n = (op.graph.rank(last) or 3) - 2
    there = op.Transpose(factor, perm=[0, *range(2, n + 2), 1])
    return op.Transpose(op.Mul(last, there), perm=[0, n + 1, *range(1, n + 1)])


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
