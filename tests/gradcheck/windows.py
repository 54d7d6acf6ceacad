"""Float64 kernels of sliding windows, in any number of dimensions and with every attribute.

onnx's reference knows some attributes in two dimensions only, and ONNX Runtime has float32 kernels.
All of them cut the padded operand into its windows, [n, c, *results, *kernel].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx.reference.op_run import OpRun

__all__ = ["KERNELS"]


@dataclass(frozen=True)
class Geometry:
    """Strides, dilations, padding (begins, ends) and how many results, one entry per axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    counts: tuple[int, ...]

    def taps(self, axis: int) -> np.ndarray:
        """Where the windows of an axis reach into the unpadded operand, [results, kernel]."""
        starts = np.arange(self.counts[axis]) * self.strides[axis] - self.begins[axis]
        return starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]


def geometry(
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    auto_pad: str | None,
    *,
    ceil: bool = False,
    least: float = -math.inf,
) -> Geometry:
    """Resolve the attributes; `least` is the least padding that SAME_UPPER and SAME_LOWER give.

    ONNX Runtime's poolings cut off where a stride exceeds its kernel, its convolutions do not.
    """
    n = len(kernel)
    strides, dilations = strides or [1] * n, dilations or [1] * n
    pads = list(pads or [0] * 2 * n)
    begins, ends = pads[:n], pads[n:]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if (auto_pad or "NOTSET") in {"SAME_UPPER", "SAME_LOWER"}:
        for i in range(n):
            total = (math.ceil(extents[i] / strides[i]) - 1) * strides[i] + spans[i] - extents[i]
            total = max(total, least)
            begins[i] = int((total + (auto_pad == "SAME_LOWER")) / 2)
            ends[i] = total - begins[i]
    counts = []
    for i in range(n):
        room = extents[i] + begins[i] + ends[i] - spans[i]
        count = (math.ceil if ceil else math.floor)(room / strides[i]) + 1
        if ceil and (count - 1) * strides[i] >= extents[i] + begins[i]:
            count -= 1  # a window must begin within the operand or the padding before it
        counts.append(count)
    return Geometry(*map(tuple, (kernel, strides, dilations, begins, ends, counts)))


def cut(x: np.ndarray, shape: Geometry, fill: float) -> np.ndarray:
    n = len(shape.kernel)
    windows, places = x, [shape.taps(axis) for axis in range(n)]
    for axis, taps in enumerate(places):
        extent = x.shape[2 + axis]
        windows = np.moveaxis(windows, 2 + 2 * axis, 0)[np.clip(taps, 0, extent - 1)]
        outside = ((taps < 0) | (taps >= extent)).reshape(*taps.shape, *[1] * (windows.ndim - 2))
        windows = np.where(outside, fill, windows)
        windows = np.moveaxis(windows, (0, 1), (2 + 2 * axis, 3 + 2 * axis))
    order = [0, 1, *range(2, 2 + 2 * n, 2), *range(3, 3 + 2 * n, 2)]
    return windows.transpose(order)


def within(shape: Geometry, lows: Sequence[int], highs: Sequence[int]) -> np.ndarray:
    """How many taps of each window lie within bounds, [*results]."""
    counts = np.ones(())
    for axis in range(len(shape.kernel)):
        taps = shape.taps(axis)
        held = ((taps >= lows[axis]) & (taps < highs[axis])).sum(1)
        counts = counts[..., None] * held
    return counts


class Conv(OpRun):
    """The reference knows groups and dilations in two dimensions only."""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None,
             pads=None, strides=None):  # fmt: skip
        kernel = w.shape[2:]
        shape = geometry(x.shape[2:], kernel, strides, dilations, pads, auto_pad, least=0)
        windows = cut(x, shape, 0.0)
        results, group = shape.counts, group or 1
        rows = windows.reshape(len(x), group, x.shape[1] // group, math.prod(results), -1)
        weight = w.reshape(group, w.shape[0] // group, w.shape[1], -1)
        y = np.einsum("ngclk,gmck->ngml", rows, weight, optimize=True)
        y = y.reshape(len(x), w.shape[0], *results)
        return (y if b is None else y + b.reshape(-1, *[1] * len(kernel)),)


class AveragePool(OpRun):
    """The reference counts otherwise where windows reach beyond the padding."""

    def _run(self, x, auto_pad=None, ceil_mode=None, count_include_pad=None, dilations=None,
             kernel_shape=None, pads=None, strides=None):  # fmt: skip
        shape = geometry(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil=bool(ceil_mode)
        )
        sums = cut(x, shape, 0.0).sum(tuple(range(-len(kernel_shape), 0)))
        low, high = [0] * len(kernel_shape), list(x.shape[2:])
        if count_include_pad:
            low = [-begin for begin in shape.begins]
            high = [extent + end for extent, end in zip(high, shape.ends, strict=True)]
        return (sums / within(shape, low, high),)


class LpPool(OpRun):
    """The reference knows two dimensions only."""

    def _run(self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, p=None,
             pads=None, strides=None):  # fmt: skip
        shape = geometry(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil=bool(ceil_mode)
        )
        powers = np.abs(cut(x, shape, 0.0)) ** p
        return (powers.sum(tuple(range(-len(kernel_shape), 0))) ** (1 / p),)


class MaxPool(OpRun):
    """The reference counts indices otherwise; these are flat through the whole tensor."""

    def _run(self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, pads=None,
             storage_order=None, strides=None):  # fmt: skip
        shape = geometry(
            x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil=bool(ceil_mode)
        )
        size = math.prod(kernel_shape)
        windows = cut(x, shape, -np.inf).reshape(*x.shape[:2], *shape.counts, size)
        places = np.arange(x.size, dtype=np.float64).reshape(x.shape)
        places = cut(places, shape, -1.0).reshape(windows.shape)
        first = windows.argmax(-1)[..., None]
        y = np.take_along_axis(windows, first, -1)[..., 0]
        indices = np.take_along_axis(places, first, -1)[..., 0].astype(np.int64)
        return (y, indices) if self.onnx_node.output[1:] else (y,)


KERNELS = [AveragePool, Conv, LpPool, MaxPool]
