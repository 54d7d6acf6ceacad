"""Undoing a strided convolution without ConvTranspose, which is slow on CPU providers.

Every s-th element of the result comes from the same taps of the kernel, so that the result is s
interleaved results ("phases") of convolutions with stride 1 and a part of the kernel each. Those
run in the fast kernels and the blocked layout of the runtime. Source: Shi et al. 2016,
arXiv:1609.07009, "Is the deconvolution layer the same as a convolutional layer?".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static
from candor.autodiff.rules.table import Site
from candor.autodiff.rules.window import Window

__all__ = ["interleave", "unstride"]

_FEW = 4  # channels; so few are better widened than kept: pictures have three
_WIDE = 4  # rows and columns of a picture that one step makes


@dataclass(frozen=True, slots=True)
class _Axis:
    """One spatial axis: extents before (x) and after (y) the convolution, and its window."""

    x: int
    y: int
    kernel: int
    stride: int
    begin: int


def unstride(op: Emitter, at: Site, weight: np.ndarray, view: Window) -> str | None:
    """Hand a convolution's cotangent back by convolutions; None where that form does not fit.

    `weight` is the convolution's own, [m, c / group, kh, kw]. Extents must be known, the kernel
    undilated and at least as large as the stride.
    """
    extents, results = static(at.shape(0)[1:]), static((op.graph.shape(at.y) or ())[2:])
    if extents is None or results is None or len(results) != 2 or set(view.dilations) != {1}:
        return None
    channels, *spatial = extents
    parts = zip(spatial, results, view.kernel, view.strides, view.begins, strict=True)
    rows, columns = (_Axis(*part) for part in parts)
    if min(rows.kernel - rows.stride, columns.kernel - columns.stride) < 0:
        return None
    group = at.integer("group", 1)
    if group == 1 and channels <= _FEW and rows.stride == columns.stride:
        return _widened(op, at.g, weight, rows, columns)
    parts_of = [
        [_phase(op, at.g, weight, (rows, p), (columns, q), group) for q in range(columns.stride)]
        for p in range(rows.stride)
    ]
    return _woven(op, parts_of, channels, (rows, columns))


def _taps(axis: _Axis, phases: Sequence[int], block: int) -> tuple[np.ndarray, list[int]]:
    """Say which tap of the kernel links element `block * i + phase` of x to which element of y.

    Returns an index [phase, offset] into the kernel, -1 for none, and the padding of y by which
    offset 0 meets i = 0 and the last one the end of x.
    """
    step = block // axis.stride
    count = -(-axis.x // block)
    linked = [
        (p + axis.begin - k) // axis.stride
        for p in phases
        for k in range(axis.kernel)
        if (p + axis.begin - k) % axis.stride == 0
    ]
    low = min(0, *linked)
    high = max(*linked, axis.y - 1 - (count - 1) * step)
    taps = np.array(phases)[:, None] + axis.begin - axis.stride * np.arange(low, high + 1)
    taps[(taps < 0) | (taps >= axis.kernel)] = -1
    return taps, [-low, high + (count - 1) * step - (axis.y - 1)]


def _picked(weight: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return [m, c, phase, phase, offset, offset]; tap -1 is zero."""
    bordered = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 1)))
    return bordered[:, :, rows[:, None, :, None], columns[None, :, None, :]]


def _phase(
    op: Emitter,
    g: str,
    weight: np.ndarray,
    row: tuple[_Axis, int],
    column: tuple[_Axis, int],
    group: int,
) -> str:
    """Compute every s-th row and column of the result, from the given ones on."""
    down, (top, bottom) = _taps(row[0], [row[1]], row[0].stride)
    across, (left, right) = _taps(column[0], [column[1]], column[0].stride)
    part = _picked(weight, down, across)[:, :, 0, 0]
    m, c, *kernel = part.shape
    swapped = part.reshape(group, m // group, c, *kernel).swapaxes(1, 2)
    return op.Conv(
        g,
        np.ascontiguousarray(swapped.reshape(group * c, m // group, *kernel)),
        kernel_shape=kernel,
        pads=[top, left, bottom, right],
        group=group,
    )


def _woven(op: Emitter, parts: list[list[str]], channels: int, axes: tuple[_Axis, _Axis]) -> str:
    """Interleave phases [n, c, h, w], channels last, where each element is a run of memory."""
    height, width = (-(-axis.x // axis.stride) for axis in axes)
    lines = []
    for row in parts:
        last = [op.Transpose(part, perm=[0, 2, 3, 1]) for part in row]
        lines.append(interleave(op, last, (height, width, channels), 1))
    whole = interleave(op, lines, (height, width * len(parts[0]), channels), 0)
    return op.Transpose(_cropped(op, whole, axes, 1), perm=[0, 3, 1, 2])


def interleave(op: Emitter, parts: Sequence[str], shape: tuple[int, ...], axis: int) -> str:
    """Weave arrays [n, *shape] along an axis of the shape: first, second, ..., first, second."""
    if len(parts) == 1:
        return parts[0]
    inner = int(np.prod(shape[axis + 1 :]))
    flat = [op.Reshape(part, [-1, inner]) for part in parts]
    woven = op.Concat(*flat, axis=1)
    return op.Reshape(woven, [-1, *shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :]])


def _cropped(op: Emitter, value: str, axes: tuple[_Axis, _Axis], first: int) -> str:
    """Cut what a whole last step made too much; the spatial axes begin at `first`."""
    shape = op.graph.shape(value) or ()
    wanted = [axis.x for axis in axes]
    if list(shape[first : first + 2]) == wanted:
        return value
    return op.Slice(value, [0, 0], wanted, [first, first + 1])


def _widened(op: Emitter, g: str, weight: np.ndarray, rows: _Axis, columns: _Axis) -> str:
    """Make a block of the picture at each step, its elements as channels, and unfold these.

    The blocks are larger than the stride: some taps are zeros, yet three times sixteen channels
    fill the registers of a kernel that three would leave idle.
    """
    stride = rows.stride
    block = stride * max(1, _WIDE // stride)
    down, (top, bottom) = _taps(rows, range(block), block)
    across, (left, right) = _taps(columns, range(block), block)
    picked = _picked(weight, down, across)  # [m, c, p, q, *kernel]
    kernel = picked.shape[4:]
    blocks = op.Conv(
        g,
        np.ascontiguousarray(picked.transpose(1, 2, 3, 0, 4, 5).reshape(-1, len(weight), *kernel)),
        kernel_shape=kernel,
        strides=[block // stride] * 2,
        pads=[top, left, bottom, right],
    )
    return _cropped(op, op.DepthToSpace(blocks, blocksize=block, mode="CRD"), (rows, columns), 2)
