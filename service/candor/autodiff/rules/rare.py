"""Rules of operators that few classifiers contain."""

import math

import numpy as np
from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import extent, reshape_like, unbroadcast, zero_like
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []


@vjp("Acosh")
def acosh(op: Emitter, at: Site) -> list[str]:
    return [op.Div(at.g, op.Sqrt(op.Sub(op.Mul(at.x, at.x), 1.0)))]


@vjp("Asinh")
def asinh(op: Emitter, at: Site) -> list[str]:
    return [op.Div(at.g, op.Sqrt(op.Add(op.Mul(at.x, at.x), 1.0)))]


@vjp("Atanh")
def atanh(op: Emitter, at: Site) -> list[str]:
    return [op.Div(at.g, op.Sub(1.0, op.Mul(at.x, at.x)))]


@vjp("Mod", operands=(0, 1))
def mod(op: Emitter, at: Site) -> list[str]:
    """y = x - n b, where the whole number n is constant almost everywhere."""
    x, b = at.node.input
    wraps = op.Round(op.Div(op.Sub(x, at.y), b))
    return [unbroadcast(op, at.g, x, b), unbroadcast(op, op.Neg(op.Mul(at.g, wraps)), b, x)]


@vjp("GlobalLpPool")
def global_lp_pool(op: Emitter, at: Site) -> list[str]:
    p = float(at.integer("p", 2))
    # 0 where a whole channel is zero, where the norm has a kink.
    norm = op.Pow(op.Where(op.Equal(at.y, 0.0), 1.0, at.y), p - 1)
    slope = op.Mul(op.Sign(at.x), op.Pow(op.Abs(at.x), p - 1))
    return [op.Mul(op.Div(at.g, norm), slope)]


@vjp("Trilu")
def trilu(op: Emitter, at: Site) -> list[str]:
    return [op.Trilu(at.g, at.operand(1), upper=at.integer("upper", 1))]


@vjp("ReverseSequence")
def reverse_sequence(op: Emitter, at: Site) -> list[str]:
    """What is turned round twice is as it was."""
    lengths = at.node.input[1]
    return [op.ReverseSequence(at.g, lengths, **at.attributes("batch_axis", "time_axis"))]


@vjp("Compress")
def compress(op: Emitter, at: Site) -> list[str]:
    """Put the entries that were kept back where the condition holds, among zeros."""
    rank = len(at.shape(0))
    flat = not at.has("axis")
    axis = 0 if flat else at.integer("axis", 0) % rank
    like = op.Reshape(at.x, [-1]) if flat else at.x
    picks = op.Reshape(op.NonZero(at.node.input[1]), [-1])
    others = [a for a in range(1 if flat else rank) if a != axis]
    rows = op.Expand(op.Unsqueeze(picks, others) if others else picks, op.Shape(at.g))
    zeros = op.ConstantOfShape(op.Shape(like), value=zero_like(op, like))
    return [reshape_like(op, op.ScatterElements(zeros, rows, at.g, axis=axis), at.x)]


@vjp("Col2Im")
def col2im(op: Emitter, at: Site) -> list[str]:
    """Cut the picture into its blocks again: a convolution with the unit blocks."""
    block = [int(size) for size in at.required(2, "block_shape")]
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x))
    size = math.prod(block)
    units = np.eye(size, dtype=dtype).reshape(size, 1, *block)
    n = len(block)
    spatial = op.Concat(*[extent(op, at.g, axis) for axis in range(2, n + 2)], axis=0)
    columns = op.Conv(
        op.Reshape(at.g, op.Concat([-1, 1], spatial, axis=0)),
        units,
        kernel_shape=block,
        strides=at.integers("strides", (1,) * n),
        dilations=at.integers("dilations", (1,) * n),
        pads=at.integers("pads", (0,) * 2 * n),
    )
    return [reshape_like(op, columns, at.x)]
