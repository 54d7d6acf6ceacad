"""The way back through a maximum over three neighbours, as two maxima over two.

With m[i] = max(x[i-1], x[i]) the maximum over x[i-1], x[i], x[i+1] is that over m[i], m[i+1], and
the first of three is the first of the first pair that holds it. Of two neighbours a difference
tells which one is greater, and what one of them gets the other does not: a comparison, a product
and a sum, where three comparisons with the maximum need about twice as much.
"""

import numpy as np
from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static
from candor.autodiff.rules.moves import moved

__all__ = ["STEEP", "by_pairs"]

STEEP = 2.0**127  # times any normal float32 above zero: 1 or more


def by_pairs(op: Emitter, g: str, x: str, axis: int) -> str:
    """Carry cotangents of maxima over three, one to each element of x, along a spatial axis.

    At both ends one of three is missing. Ties go to the first.
    """
    extents = static((op.graph.shape(g) or ())[2:]) or ()
    rank = len(extents)
    ends = [0] * rank
    ends[axis] = 1
    kernel = [2 if a == axis else 1 for a in range(rank)]
    pairs = op.MaxPool(x, kernel_shape=kernel, strides=[1] * rank, pads=[*ends, *ends])

    # The pair behind the last element holds that one alone, as does the first: never the greater.
    later = op.HardSigmoid(_differences(op, pairs, axis), alpha=STEEP, beta=0.0)
    handed_on = op.Mul(g, later)
    g_pairs = op.Add(_differences(op, handed_on, axis, -1.0, before=1), g)

    # Pair i = 1, ... gives to x[i - 1] or x[i]; pair 0 is x[0].
    earlier = op.HardSigmoid(_differences(op, x, axis), alpha=-STEEP, beta=1.0)
    sizes = [extent - end for extent, end in zip(extents, ends, strict=True)]
    handed_back = op.Mul(moved(op, g_pairs, ends, [1] * rank, sizes), earlier)
    return op.Add(_differences(op, handed_back, axis, before=1, after=1), g_pairs)


def _differences(
    op: Emitter, value: str, axis: int, sign: float = 1.0, before: int = 0, after: int = 0
) -> str:
    """Return sign * (value[i + 1] - value[i]) along an axis, with zeros put before and after.

    As a convolution of each channel, into which the runtime fuses the sum or ramp that follows.
    """
    shape = op.graph.shape(value) or ()
    rank, channels = len(shape) - 2, int(shape[1] or 0)
    kernel, begins, ends = [1] * rank, [0] * rank, [0] * rank
    kernel[axis], begins[axis], ends[axis] = 2, before, after
    taps = np.array([-sign, sign], helper.tensor_dtype_to_np_dtype(op.graph.dtype(value)))
    weight = np.broadcast_to(taps.reshape(kernel), (channels, 1, *kernel)).copy()
    return op.Conv(value, weight, kernel_shape=kernel, pads=[*begins, *ends], group=channels)
