"""Sums, and moving elements in space, in forms that stay in the layout that convolutions keep.

ONNX Runtime's CPU provider keeps pictures in a blocked layout between convolutions. For Slice, Pad
and Split it copies a picture out of it and back. A convolution of each channel with a single one
in its kernel moves, thins out, cuts and fills with zeros, exactly, and at the speed of a sum.
"""

from collections.abc import Sequence

import numpy as np
from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static

__all__ = ["added", "blocked", "by_one", "moved", "numbers"]

_LANE = 8  # channels; a convolution of each leaves the blocked layout with any other number


def added(op: Emitter, values: Sequence[str]) -> str:
    """Sum values of one shape: results of convolutions one by one, which the runtime fuses.

    What comes in another layout than these is brought into theirs; a value that is one number for
    many elements is added as that number.
    """
    kinds = [_kind(op, value) for value in values]
    last = [value for value, kind in zip(values, kinds, strict=True) if kind == "Conv"]
    first = []
    for value, kind in zip(values, kinds, strict=True):
        if kind in _PLAIN and last and blocked(op, value):
            last.append(by_one(op, value))
        elif kind != "Conv":
            first.append(value)
    if last or any(_kind(op, value) != "Expand" for value in first):  # one of them is whole
        first = [numbers(op, value) for value in first]
    first = first or [last.pop(0)]
    whole = first[0] if len(first) == 1 else op.Add(*first) if len(first) == 2 else op.Sum(*first)
    for value in last:
        whole = op.Add(value, whole)
    return whole


_PLAIN = frozenset({"ConvTranspose", "Transpose"})


def _kind(op: Emitter, value: str) -> str:
    node = op.graph.producer(value)
    return "" if node is None else node.op_type


def numbers(op: Emitter, value: str) -> str:
    """Return what a value was spread out from, if it was: as good an operand, and smaller."""
    node = op.graph.producer(value)
    return value if node is None or node.op_type != "Expand" else node.input[0]


def moved(
    op: Emitter,
    value: str,
    offsets: Sequence[int],
    strides: Sequence[int],
    sizes: Sequence[int],
    factor: float = 1.0,
) -> str:
    """Return factor * value[..., offset + stride * i, ...] for i < size, zero beyond its ends.

    `value` is [n, c, *spatial] with known extents but for n; one offset, stride and size per axis.
    """
    channels, *extents = static((op.graph.shape(value) or ())[1:]) or ()
    kernel, begins, ends = [], [], []
    for extent, offset, stride, size in zip(extents, offsets, strides, sizes, strict=True):
        begin = max(0, -offset)
        # Zeros at the end of the kernel cut off what is not wanted.
        width = max(offset + begin + 1, extent + begin - size * stride + 1)
        kernel.append(width)
        begins.append(begin)
        ends.append((size - 1) * stride + width - extent - begin)
    if {*kernel, *strides} == {1} and not any((*begins, *ends)) and factor == 1.0:
        return value
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(value))
    tap = np.zeros(kernel, dtype)
    tap[tuple(max(0, offset) for offset in offsets)] = factor
    weight = np.broadcast_to(tap, (channels, 1, *kernel)).copy()
    return op.Conv(
        value,
        weight,
        kernel_shape=kernel,
        strides=strides,
        pads=[*begins, *(max(0, end) for end in ends)],
        group=channels,
    )


def blocked(op: Emitter, *values: str) -> bool:
    """Tell whether a convolution of each channel [n, c, h, w] stays in the blocked layout."""
    shapes = [static((op.graph.shape(value) or (None, None))[1:]) for value in values]
    return all(shape and len(shape) == 3 and shape[0] % _LANE == 0 for shape in shapes)


def by_one(op: Emitter, value: str) -> str:
    """Multiply by one in a convolution, which brings a value into the blocked layout."""
    channels, *extents = static((op.graph.shape(value) or ())[1:]) or ()
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(value))
    kernel = [1] * len(extents)
    return op.Conv(
        value, np.ones((channels, 1, *kernel), dtype), kernel_shape=kernel, group=channels
    )
