"""Rules of sampling a picture at computed places, as spatial transformers do.

Source: Jaderberg et al. 2015, arXiv:1506.02025, eq. 5-7.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.rules.extents import extent, number, reshape_like, zero_like
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []


@vjp("AffineGrid")
def affine_grid(op: Emitter, at: Site) -> list[str]:
    """grid = theta (x, y, 1)': the grid of the unit transform says what each x and y is."""
    d = at.shape(0)[1]
    if d not in (2, 3):
        raise at.refusal("whether it transforms planes or volumes is unknown")
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x))
    unit = np.eye(d, d + 1, dtype=dtype)[None]
    size = op.Concat([1], op.Slice(at.node.input[1], [1], [d + 2], [0]), axis=0)
    grid = op.AffineGrid(unit, size, align_corners=at.integer("align_corners", 0))
    places = op.Pad(op.Reshape(grid, [-1, d]), [0, 1], dtype.type(1), [1])
    rows = op.Reshape(at.g, op.Concat(extent(op, at.x, 0), [-1, d], axis=0))
    return [op.MatMul(op.Transpose(rows, perm=[0, 2, 1]), places)]


class _Axis(NamedTuple):
    """One coordinate of the sampling places, [n, 1, p], in pixels.

    `low` is the pixel below, `share` how far on the way to the next one, `slope` the pixels per
    unit of the grid, `last` the largest index.
    """

    low: str
    share: str
    slope: str
    last: str


@vjp("GridSample", operands=(0, 1))
def grid_sample(op: Emitter, at: Site) -> list[str | None]:
    """Hand each sample's cotangent to its four neighbours, and to the place by their slopes."""
    if at.text("mode", "linear") not in {"linear", "bilinear"} or len(at.shape(0)) != 4:
        raise at.refusal("only mode 'linear' on pictures [n, c, h, w] is built")
    if at.text("padding_mode", "zeros") == "reflection":
        raise at.refusal("padding_mode 'reflection' is not built")
    x, grid = at.node.input
    planes = op.Reshape(x, op.Concat(op.Shape(x, end=2), [-1], axis=0))
    g = op.Reshape(at.g, op.Concat(op.Shape(x, end=2), [-1], axis=0))
    axes = [_axis(op, at, coordinate, 3 - coordinate) for coordinate in (0, 1)]
    spread: list[str] = []
    slopes: tuple[list[str], list[str]] = ([], [])
    for corner in product((0, 1), repeat=2):
        shares = [a.share if c else op.Sub(1.0, a.share) for a, c in zip(axes, corner, strict=True)]
        places, inside = _corner(op, x, axes, corner)
        index = op.Expand(places, op.Shape(g))
        if 0 in at.wanted:
            weight = op.Mul(op.Mul(shares[0], shares[1]), inside)
            zeros = op.ConstantOfShape(op.Shape(planes), value=zero_like(op, x))
            spread.append(
                op.ScatterElements(zeros, index, op.Mul(g, weight), axis=2, reduction="add")
            )
        if 1 in at.wanted:
            seen = op.Mul(op.Mul(op.GatherElements(planes, index, axis=2), inside), g)
            level = op.ReduceSum(seen, [1], keepdims=1)
            for own, other in ((0, 1), (1, 0)):
                sign = 1.0 if corner[own] else -1.0
                slopes[own].append(op.Mul(op.Mul(level, shares[other]), sign))
    to_x = reshape_like(op, op.Sum(*spread), x) if spread else None
    if 1 not in at.wanted:
        return [to_x, None]
    along = [op.Mul(op.Sum(*parts), a.slope) for parts, a in zip(slopes, axes, strict=True)]
    pairs = op.Transpose(op.Concat(*along, axis=1), perm=[0, 2, 1])
    return [to_x, reshape_like(op, pairs, grid)]


def _axis(op: Emitter, at: Site, coordinate: int, axis: int) -> _Axis:
    x, grid = at.node.input
    picked = op.Gather(grid, np.int64(coordinate), axis=3)
    place = op.Reshape(picked, op.Concat(op.Shape(x, end=1), [1, -1], axis=0))
    size = number(op, _vector(op, extent(op, x, axis)), x)
    last = op.Sub(size, 1.0)
    aligned = at.integer("align_corners", 0)
    slope = op.Mul(last if aligned else size, 0.5)
    pixel = op.Mul(op.Add(place, 1.0), slope)
    pixel = pixel if aligned else op.Sub(pixel, 0.5)
    if at.text("padding_mode", "zeros") == "border":
        between = op.And(op.Greater(pixel, 0.0), op.Less(pixel, last))
        slope = op.Where(between, slope, 0.0)
        pixel = op.Max(op.Min(pixel, last), 0.0)
    low = op.Floor(pixel)
    return _Axis(low, op.Sub(pixel, low), slope, last)


def _vector(op: Emitter, operand: Operand) -> str:
    return operand if isinstance(operand, str) else op.Concat(operand, axis=0)


def _corner(op: Emitter, x: str, axes: list[_Axis], corner: tuple[int, ...]) -> tuple[str, str]:
    """Return a neighbour's index in the flat plane, [n, 1, p], and 1 where it is in the picture."""
    held, gates = [], []
    for axis, step in zip(axes, corner, strict=True):
        at = op.Add(axis.low, float(step))
        gates.append(op.And(op.GreaterOrEqual(at, 0.0), op.LessOrEqual(at, axis.last)))
        held.append(op.Cast(op.Max(op.Min(at, axis.last), 0.0), to=TensorProto.INT64))
    index = op.Add(op.Mul(held[1], extent(op, x, 3)), held[0])
    return index, op.Cast(op.And(*gates), to=op.graph.dtype(x))
