"""Rules of poolings."""

from dataclasses import replace

import numpy as np
from onnx import helper, numpy_helper

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.rules.extents import (
    count_ratio,
    expand,
    reshape_like,
    static,
    zero_like,
    zeros_like,
)
from candor.autodiff.rules.maxima import unpool
from candor.autodiff.rules.table import Site, vjp
from candor.autodiff.rules.window import Window, spread, window

__all__: list[str] = []


@vjp("GlobalAveragePool")
def global_average_pool(op: Emitter, at: Site) -> list[str]:
    axes = list(range(2, len(at.shape(0))))
    return [expand(op, op.Div(at.g, count_ratio(op, at.x, at.y, axes)), at.x, axes)]


@vjp("GlobalMaxPool")
def global_max_pool(op: Emitter, at: Site) -> list[str]:
    """Give each channel's cotangent to its first maximum, as torch's adaptive pooling does."""
    places = op.Reshape(at.x, [0, 0, -1])
    first = op.ArgMax(places, axis=2, keepdims=1)
    cotangent = op.Reshape(at.g, [0, 0, 1])
    spots = op.ScatterElements(zeros_like(op, places), first, cotangent, axis=2)
    return [reshape_like(op, spots, at.x)]


@vjp("MaxPool")
def max_pool(op: Emitter, at: Site) -> list[str]:
    """Add each cotangent at its window's first maximum.

    The indices come from a second MaxPool: asked for them, ONNX Runtime's CPU provider leaves its
    fast kernel, and the way forward keeps that. They count through the whole tensor.
    """
    if (stepwise := unpool(op, at)) is not None:
        return [stepwise]
    _, indices = op.emit("MaxPool", [at.x], at.attributes(*_MAX_POOL), outputs=2)
    flat = op.ConstantOfShape(op.Reshape(op.Size(at.x), [1]), value=zero_like(op, at.x))
    places, cotangents = op.Reshape(indices, [-1]), op.Reshape(at.g, [-1])
    sums = op.ScatterElements(flat, places, cotangents, axis=0, reduction="add")
    return [reshape_like(op, sums, at.x)]


_MAX_POOL = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")


@vjp("AveragePool")
def average_pool(op: Emitter, at: Site) -> list[str]:
    """Spread each cotangent, divided by its window's count, over that window."""
    view = window(at, at.integers("kernel_shape"))
    extents, results = static(at.shape(0)[2:]), static((op.graph.shape(at.y) or ())[2:])
    if at.integer("ceil_mode", 0):
        if not extents or not results:
            raise at.refusal("ceil_mode needs fixed spatial extents")
        view = _reaching(view, extents, results)
    share = op.Div(at.g, _counts(op, at, view, extents))
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x))
    # One channel at a time: the kernel of ones is the same for all.
    singles = op.Reshape(share, op.Concat([-1, 1], op.Shape(share, start=2), axis=0))
    covered = spread(op, at, singles, np.ones((1, 1, *view.kernel), dtype), view)
    return [reshape_like(op, covered, at.x)]


@vjp("LpPool")
def lp_pool(op: Emitter, at: Site) -> list[str]:
    """Spread each cotangent over its window, weighed by the slope of the norm there."""
    p = at.integer("p", 2)
    view = window(at, at.integers("kernel_shape"))
    extents, results = static(at.shape(0)[2:]), static((op.graph.shape(at.y) or ())[2:])
    if at.integer("ceil_mode", 0):
        if not extents or not results:
            raise at.refusal("ceil_mode needs fixed spatial extents")
        view = _reaching(view, extents, results)
    # 0 where the whole window is zero, where the norm has a kink.
    norm = op.Pow(op.Where(op.Equal(at.y, 0.0), 1.0, at.y), float(p - 1))
    share = op.Div(at.g, norm)
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x))
    singles = op.Reshape(share, op.Concat([-1, 1], op.Shape(share, start=2), axis=0))
    covered = spread(op, at, singles, np.ones((1, 1, *view.kernel), dtype), view)
    slope = op.Mul(op.Sign(at.x), op.Pow(op.Abs(at.x), float(p - 1)))
    return [op.Mul(reshape_like(op, covered, at.x), slope)]


def _reaching(view: Window, extents: tuple[int, ...], results: tuple[int, ...]) -> Window:
    """Widen the end padding to where the last window reaches."""
    axes = zip(results, view.strides, view.spans, extents, view.begins, strict=True)
    ends = tuple((y - 1) * stride + span - x - begin for y, stride, span, x, begin in axes)
    return replace(view, ends=ends)


def _counts(op: Emitter, at: Site, view: Window, extents: tuple[int, ...] | None) -> Operand:
    """Return how many elements each window averages: a number, or [1, 1, *results]."""
    padded = any((*view.begins, *view.ends))
    included = bool(at.integer("count_include_pad", 0))
    if not padded or (included and not at.integer("ceil_mode", 0)):
        return float(np.prod(view.kernel))
    if extents is None:  # what share of each window is not padding
        dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x))
        sizes = op.Concat([1, 1], op.Shape(at.x, start=2), axis=0)
        ones = op.ConstantOfShape(sizes, value=numpy_helper.from_array(np.ones(1, dtype)))
        given = at.attributes("auto_pad", "dilations", "kernel_shape", "pads", "strides")
        (share,) = op.emit("AveragePool", [ones], {**given, "count_include_pad": 1})
        return op.Mul(share, float(np.prod(view.kernel)))
    declared = at.integers("pads", (0,) * 2 * len(extents))[len(extents) :]
    counts = np.ones((1, 1))
    for axis, extent in enumerate(extents):
        k, s, d = view.kernel[axis], view.strides[axis], view.dilations[axis]
        begin = view.begins[axis]
        low, high = (-begin, extent + declared[axis]) if included else (0, extent)
        n = (extent + begin + view.ends[axis] - view.spans[axis]) // s + 1
        taps = np.arange(n)[:, None] * s - begin + np.arange(k) * d
        counts = counts[..., None] * ((taps >= low) & (taps < high)).sum(axis=1)
    return counts.astype(helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x)))
