"""Shape arithmetic inside the graph: constants where shapes are known, Shape nodes where not."""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff.emitter import Emitter, Operand
from candor.autodiff.values import Shape

__all__ = [
    "as_shape",
    "count_ratio",
    "expand",
    "extent",
    "number",
    "reshape_like",
    "shape_of",
    "static",
    "unbroadcast",
    "zero_like",
    "zeros_like",
]


def static(shape: Shape | None) -> tuple[int, ...] | None:
    """Return the shape if every extent is known."""
    if shape is None or not all(isinstance(extent, int) for extent in shape):
        return None
    return tuple(extent for extent in shape if isinstance(extent, int))


def shape_of(op: Emitter, value: str) -> Operand:
    """Return a value's shape as an int64 vector."""
    known = static(op.graph.shape(value))
    return op.Shape(value) if known is None else known


def as_shape(op: Emitter, value: str) -> Operand:
    """Return a target for Reshape that restores a value's shape, with -1 for one unknown axis."""
    shape = op.graph.shape(value)
    if shape is None:
        return op.Shape(value)
    unknown = [axis for axis, extent in enumerate(shape) if not isinstance(extent, int)]
    if len(unknown) > 1 or (unknown and 0 in shape):
        return op.Shape(value)
    return [extent if isinstance(extent, int) else -1 for extent in shape]


def reshape_like(op: Emitter, value: str, like: str) -> str:
    """Give a value the shape of another with as many elements."""
    return op.Reshape(value, as_shape(op, like))


def extent(op: Emitter, value: str, axis: int) -> Operand:
    """Return the extent of one axis as a vector of one."""
    shape = op.graph.shape(value)
    if shape is not None and isinstance(known := shape[axis], int):
        return [known]
    end = axis + 1 if axis != -1 else None
    return op.Shape(value, start=axis, end=end)


def zeros_like(op: Emitter, value: str) -> str:
    """Return zeros of a value's shape and type."""
    return op.ConstantOfShape(shape_of(op, value), value=zero_like(op, value))


def zero_like(op: Emitter, value: str) -> TensorProto:
    """Return the attribute that makes ConstantOfShape write zeros of a value's type."""
    return helper.make_tensor("zero", op.graph.dtype(value), [1], [0])


def number(op: Emitter, integer: str, like: str) -> str:
    """Cast an integer value to the type of another value."""
    return op.Cast(integer, to=op.graph.dtype(like) or TensorProto.FLOAT)


def count_ratio(op: Emitter, large: str, small: str, axes: Sequence[int] | None) -> Operand:
    """Return how many elements of `large` make one of `small`, in the type of `large`."""
    shape = op.graph.shape(large)
    if shape is not None:
        kept = shape if axes is None else tuple(shape[axis] for axis in axes)
        if (known := static(kept)) is not None:
            return float(np.prod(known, dtype=np.int64))
    # Floats: an empty batch makes this 0 / 0, which integer division would not survive.
    return op.Div(number(op, op.Size(large), large), number(op, op.Size(small), large))


def expand(op: Emitter, value: str, like: str, axes: Sequence[int] | None = None) -> str:
    """Broadcast a value, whose extents are 1 along `axes` (None: anywhere), to another's shape."""
    shape = op.graph.shape(like)
    if shape is not None and axes is not None:
        varied = {axis % len(shape) for axis in axes}
        target = [extent if axis in varied else 1 for axis, extent in enumerate(shape)]
        if (known := static(tuple(target))) is not None:
            return op.Expand(value, known)
    return op.Expand(value, shape_of(op, like))


def unbroadcast(op: Emitter, g: str, like: str, *others: str) -> str:
    """Sum a cotangent over the axes along which `like` was broadcast against the others."""
    shape, whole = op.graph.shape(like), op.graph.shape(g)
    if shape is None or whole is None:
        return _unbroadcast_at_run_time(op, g, like)
    lead = len(whole) - len(shape)
    widths = [_aligned(op.graph.shape(other), len(whole)) for other in others]
    summed = list(range(lead))
    for axis, extent in enumerate(shape, start=lead):
        rivals = [width[axis] for width in widths]
        if extent == whole[axis] and extent is not None:
            continue
        if others and all(rival in {1, extent} and rival is not None for rival in rivals):
            continue
        if extent != 1 and not isinstance(extent, int):
            return _unbroadcast_at_run_time(op, g, like)
        if extent == 1:
            summed.append(axis)
    if not summed:
        return g
    kept = _summed(op, g, summed)
    return kept if lead == 0 else op.Squeeze(kept, list(range(lead)))


def _summed(op: Emitter, g: str, axes: list[int]) -> str:
    """Sum over axes that are kept; over space as a mean, which stays in the blocked layout."""
    space = static((op.graph.shape(g) or ())[2:])
    is_float = op.graph.dtype(g) == TensorProto.FLOAT
    if is_float and space and axes == list(range(2, len(space) + 2)):
        return op.Mul(op.GlobalAveragePool(g), float(np.prod(space, dtype=np.int64)))
    return op.ReduceSum(g, axes, keepdims=1)


def _aligned(shape: Shape | None, rank: int) -> Shape:
    return (None,) * rank if shape is None else (1,) * (rank - len(shape)) + shape


def _unbroadcast_at_run_time(op: Emitter, g: str, like: str) -> str:
    shape = op.Shape(like)
    missing = op.Sub(op.Shape(op.Shape(g)), op.Shape(shape))
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    aligned = op.Concat(op.ConstantOfShape(missing, value=one), shape, axis=0)
    axes = op.Reshape(op.NonZero(op.Equal(aligned, 1)), [-1])
    return op.Reshape(op.ReduceSum(g, axes, keepdims=1, noop_with_empty_axes=1), shape)
