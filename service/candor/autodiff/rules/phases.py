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
from candor.autodiff.rules.moves import added
from candor.autodiff.rules.table import Site, Woven
from candor.autodiff.rules.weave import weave
from candor.autodiff.rules.window import Window

__all__ = ["unstride"]

_FEW = 4  # channels; so few are better widened than kept: pictures have three
_APART = 2  # a stride beyond its kernel leaves elements out; more than every second cost too much
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
    undilated and, but for a stride of two, at least as large as the stride.
    """
    extents, results = static(at.shape(0)[1:]), static((op.graph.shape(at.y) or ())[2:])
    if extents is None or results is None or len(results) != 2 or set(view.dilations) != {1}:
        return None
    if static((op.graph.shape(at.g) or (None, None))[1:]) is None:
        return None
    channels, *spatial = extents
    axes = zip(spatial, results, view.kernel, view.strides, view.begins, strict=True)
    rows, columns = (_Axis(*axis) for axis in axes)
    if any(axis.kernel < axis.stride > _APART for axis in (rows, columns)):
        return None
    group = at.integer("group", 1)
    if group == 1 and channels <= _FEW and rows.stride == columns.stride:
        return _widened(op, at, weight, rows, columns)
    parts: dict[tuple[int, ...], str] = {
        (p, q): _phase(op, at.g, weight, (rows, p), (columns, q), group)
        for p in range(rows.stride)
        for q in range(columns.stride)
        if _reached(rows, p) and _reached(columns, q)
    }
    return weave(op, at.woven, Woven(parts, view.strides), spatial)


def _taps(
    axis: _Axis, phases: Sequence[int], block: int, first: int = 0, every: int = 1
) -> tuple[np.ndarray, list[int]]:
    """Say which tap of the kernel links element `block * i + phase` of x to which element of y.

    Of y every so-manieth element is at hand, from the first one on. Returns an index [phase,
    offset] into the kernel, -1 for none, and the padding of these elements by which offset 0 meets
    i = 0 and the last one the end of x.
    """
    step = block // (axis.stride * every)
    count, at_hand = -(-(axis.x - phases[0]) // block), -(-(axis.y - first) // every)
    places = [
        (p + axis.begin - k) // axis.stride
        for p in phases
        for k in range(axis.kernel)
        if (p + axis.begin - k) % axis.stride == 0
    ]
    linked = [place // every for place in places if place % every == first]
    low = min([0, *linked])
    high = max([*linked, at_hand - 1 - (count - 1) * step])
    whole = every * np.arange(low, high + 1) + first
    taps = np.array(phases)[:, None] + axis.begin - axis.stride * whole
    taps[(taps < 0) | (taps >= axis.kernel)] = -1
    return taps, [-low, high + (count - 1) * step - (at_hand - 1)]


def _reached(axis: _Axis, phase: int) -> bool:
    """Tell whether a kernel, perhaps smaller than its stride, has a tap on a phase of x."""
    taps = range(axis.kernel)
    return phase < axis.x and any((phase + axis.begin - k) % axis.stride == 0 for k in taps)


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


def _widened(op: Emitter, at: Site, weight: np.ndarray, rows: _Axis, columns: _Axis) -> str:
    """Make a block of the picture at each step, its elements as channels, and unfold these.

    The blocks are larger than the stride: some taps are zeros, yet three times sixteen channels
    fill the registers of a kernel that three would leave idle. A cotangent that comes in parts is
    taken so.
    """
    stride = rows.stride
    block = stride * max(1, _WIDE // stride)
    found, step = at.woven.get(at.g), block // stride
    if found is None or any(step % every for every in found.strides):
        found = Woven({(0, 0): at.g}, (1, 1))
    made = []
    for (first_row, first_column), part in found.parts.items():
        down, (top, bottom) = _taps(rows, range(block), block, first_row, found.strides[0])
        across, (left, right) = _taps(columns, range(block), block, first_column, found.strides[1])
        picked = _picked(weight, down, across)  # [m, c, p, q, *kernel]
        kernel = picked.shape[4:]
        turned = picked.transpose(1, 2, 3, 0, 4, 5).reshape(-1, len(weight), *kernel)
        blocks = op.Conv(
            part,
            np.ascontiguousarray(turned),
            kernel_shape=kernel,
            strides=[step // every for every in found.strides],
            pads=[top, left, bottom, right],
        )
        made.append(blocks)
    whole = op.DepthToSpace(added(op, made), blocksize=block, mode="CRD")
    if (op.graph.shape(whole) or ())[2:] == (rows.x, columns.x):
        return whole
    return op.Slice(whole, [0, 0], [rows.x, columns.x], [2, 3])
