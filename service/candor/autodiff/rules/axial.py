"""Rules of operators that are linear along each axis on its own: resizing, padding by repetition.

What such an operator makes of the unit vectors is its matrix, so that the runtime itself, applied
to an identity matrix, says what to transpose: every mode and coordinate convention comes for free.
"""

from collections.abc import Callable

from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import extent
from candor.autodiff.rules.table import Site, vjp

__all__ = ["repeated"]

_Matrix = Callable[[int], str]
"""The name of an axis's matrix [extent of x, extent of y]."""


@vjp("Resize")
def resize(op: Emitter, at: Site) -> list[str]:
    """Multiply by the transposed interpolation matrix of every axis that is resized."""
    if at.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise at.refusal("coordinate_transformation_mode 'tf_crop_and_resize' is not built")
    if at.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise at.refusal("keep_aspect_ratio_policy is not built, only 'stretch'")
    rank = len(at.shape(0))
    axes = [axis % rank for axis in at.integers("axes", range(rank))]
    unit = [1.0, 1.0, 1.0]

    def matrix(axis: int) -> str:
        eye = op.Unsqueeze(_identity(op, at.x, axis), [0, 1])
        scales, sizes = at.operand(2), None
        if scales is not None:
            own = op.Gather(scales, [axes.index(axis)], axis=0)
            scales = op.Concat(_floats(op, unit), own, axis=0)
        else:
            sizes = op.Concat([1, 1], extent(op, at.x, axis), extent(op, at.y, axis), axis=0)
        found = op.Resize(eye, None, scales, sizes, **at.attributes(*_RESIZE))
        return op.Squeeze(found, [0, 1])

    return [_transposed_along(op, at, [a for a in axes if not _kept(op, at, a)], matrix)]


_RESIZE = (
    "antialias",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "mode",
    "nearest_mode",
)


def repeated(op: Emitter, at: Site) -> str:
    """Differentiate a Pad that repeats the operand's own values: edge, reflect or wrap."""
    rank = len(at.shape(0))
    axes = list(range(rank))
    if at.operand(3) is not None:
        axes = [int(axis) % rank for axis in at.required(3, "axes")]
    pads, known = at.node.input[1], at.constant(1)

    def matrix(axis: int) -> str:
        index = axes.index(axis)
        own = op.Gather(pads, [index, index + len(axes)], axis=0)
        return op.Pad(_identity(op, at.x, axis), own, None, [1], mode=at.text("mode", ""))

    moved = [True] * rank if known is None else [pair.any() for pair in known.reshape(2, -1).T]
    padded = [axis for axis, differs in zip(axes, moved, strict=False) if differs]
    return _transposed_along(op, at, padded, matrix)


def _transposed_along(op: Emitter, at: Site, axes: list[int], matrix: _Matrix) -> str:
    """Multiply the cotangent by the transposed matrix of each of some axes."""
    g, last = at.g, len(at.shape(0)) - 1
    for axis in axes:
        if axis == last - 1:
            g = op.MatMul(matrix(axis), g)
            continue
        swap = [last if a == axis else axis if a == last else a for a in range(last + 1)]
        rows = g if axis == last else op.Transpose(g, perm=swap)
        g = op.MatMul(rows, op.Transpose(matrix(axis), perm=[1, 0]))
        g = g if axis == last else op.Transpose(g, perm=swap)
    return g


def _identity(op: Emitter, x: str, axis: int) -> str:
    width = extent(op, x, axis)
    zeros = op.ConstantOfShape(op.Concat(width, width, axis=0))
    return op.EyeLike(zeros, dtype=op.graph.dtype(x))


def _kept(op: Emitter, at: Site, axis: int) -> bool:
    """Tell whether an axis surely keeps its extent, and with it (as scales go) its values."""
    scales = at.constant(2)
    if scales is not None:
        axes = [a % len(at.shape(0)) for a in at.integers("axes", range(len(at.shape(0))))]
        return bool(scales.reshape(-1)[axes.index(axis)] == 1.0)
    before, after = at.shape(0)[axis], (op.graph.shape(at.y) or {axis: None})[axis]
    return axis < 2 if before is None or after is None else before == after  # n and c: never


def _floats(op: Emitter, values: list[float]) -> str:
    return op.Constant(value=helper.make_tensor("scales", 1, [len(values)], values))
