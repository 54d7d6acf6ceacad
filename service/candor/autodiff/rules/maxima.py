"""The way back through a maximum over windows, one axis after the other.

The maximum of a window is the maximum over its rows of each row's maximum, and its first maximum
(in the order of memory) is the first in the first such row. So a cotangent finds its element by
k + k comparisons instead of k * k, and by element-wise operators that every provider has fast,
where asking MaxPool for its indices and scattering by them is slow on CPUs.
"""

from dataclasses import dataclass

import numpy as np
from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static
from candor.autodiff.rules.phases import interleave
from candor.autodiff.rules.table import Site
from candor.autodiff.rules.window import Window

__all__ = ["unpool"]


@dataclass(frozen=True, slots=True)
class _Stage:
    """The maximum along one spatial axis, of arrays [n, *shape] with their channels last."""

    axis: int
    shape: tuple[int, ...]
    result: int
    kernel: int
    stride: int
    begin: int


def unpool(op: Emitter, at: Site, view: Window) -> str | None:
    """Give each cotangent to its window's first maximum; None where this form does not fit.

    Extents must be known, the kernel undilated and at least as large as the stride.
    """
    extents, results = static(at.shape(0)[1:]), static((op.graph.shape(at.y) or ())[2:])
    if extents is None or results is None or set(view.dilations) != {1}:
        return None
    fits = all(k >= s for k, s in zip(view.kernel, view.strides, strict=True))
    if not fits or min((*view.begins, *view.ends)) < 0:
        return None
    n = len(results)
    stages, maxima = [], [_last(op, at.x, n)]
    shape, value = [*extents[1:], extents[0]], at.x
    for axis in reversed(range(n)):
        stage = _Stage(
            axis, tuple(shape), results[axis], view.kernel[axis], view.strides[axis],
            view.begins[axis],
        )  # fmt: skip
        stages.append(stage)
        value = _along(op, value, stage, n) if axis else at.y
        maxima.append(_last(op, value, n))
        shape[axis] = results[axis]
    g = _last(op, at.g, n)
    for stage, below, top in zip(stages[::-1], maxima[-2::-1], maxima[::-1], strict=False):
        g = _pulled(op, g, below, top, stage)
    return op.Transpose(g, perm=[0, n + 1, *range(1, n + 1)])


def _last(op: Emitter, value: str, n: int) -> str:
    return op.Transpose(value, perm=[0, *range(2, n + 2), 1])


def _along(op: Emitter, x: str, stage: _Stage, n: int) -> str:
    """Take the maximum along one axis of x [n, c, *spatial]."""
    one = [1] * n
    kernel, strides, begins, ends = [*one], [*one], [0] * n, [0] * n
    axis, extent = stage.axis, stage.shape[stage.axis]
    kernel[axis], strides[axis], begins[axis] = stage.kernel, stage.stride, stage.begin
    reach = (stage.result - 1) * stage.stride + stage.kernel - stage.begin - extent
    ends[axis] = max(0, reach)
    return op.MaxPool(x, kernel_shape=kernel, strides=strides, pads=[*begins, *ends])


def _pulled(op: Emitter, g: str, x: str, top: str, stage: _Stage) -> str:
    """Carry cotangents of the maxima `top` to the first equal element of x in each window."""
    rest, taken = g, []
    for tap in range(stage.kernel - 1):
        hit = op.Equal(_tapped(op, x, stage, tap), top)
        taken.append(op.Mul(rest, op.Cast(hit, to=op.graph.dtype(g))))
        rest = op.Sub(rest, taken[-1])
    taken.append(rest)
    count = -(-stage.shape[stage.axis] // stage.stride)
    phases: list[list[str]] = [[] for _ in range(stage.stride)]
    for tap, part in enumerate(taken):
        shift, phase = divmod(tap - stage.begin, stage.stride)
        margins = (shift, count - stage.result - shift)
        phases[phase].append(_padded(op, part, stage, margins, 0.0))
    sums = [op.Sum(*parts) if len(parts) > 1 else parts[0] for parts in phases]
    shape = list(stage.shape)
    shape[stage.axis] = count
    whole = interleave(op, sums, tuple(shape), stage.axis)
    if count * stage.stride == stage.shape[stage.axis]:
        return whole
    return op.Slice(whole, [0], [stage.shape[stage.axis]], [stage.axis + 1])


def _tapped(op: Emitter, x: str, stage: _Stage, tap: int) -> str:
    """Return the element that each window has at one tap, the lowest number beyond the edge."""
    extent, stride = stage.shape[stage.axis], stage.stride
    offset = tap - stage.begin
    if stride == 1:  # both ends in one pass: what sticks out is padded, the rest cut
        margins = (-offset, stage.result + offset - extent)
        return _padded(op, x, stage, margins, -np.inf)
    first = max(0, -(offset // stride))
    end = min(stage.result, (extent - 1 - offset) // stride + 1)
    axis = [stage.axis + 1]
    start, stop = first * stride + offset, (end - 1) * stride + offset + 1
    inside = op.Slice(x, [start], [stop], axis, [stride])
    return _padded(op, inside, stage, (first, stage.result - end), -np.inf)


def _padded(op: Emitter, value: str, stage: _Stage, margins: tuple[int, int], fill: float) -> str:
    if not any(margins):
        return value
    pads = [0] * 2 * (len(stage.shape) + 1)  # of all axes: ONNX Runtime 1.31 mistakes a choice
    pads[stage.axis + 1], pads[stage.axis + 2 + len(stage.shape)] = margins
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(value))
    return op.Pad(value, pads, np.array(fill, dtype))
