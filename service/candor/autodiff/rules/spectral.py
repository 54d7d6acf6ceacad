"""Rules of Fourier transforms: linear, so that the way back is the adjoint."""

import numpy as np
from onnx import helper

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import extent, number, reshape_like
from candor.autodiff.rules.table import Site, vjp

__all__: list[str] = []

_AXIS_IS_OPERAND = 20  # the opset from which DFT has its axis as an operand


@vjp("DFT", stops=[1, 2])
def dft(op: Emitter, at: Site) -> list[str]:
    """Transform back: the adjoint of F is n times its inverse, and that of the inverse F / n."""
    inverse, onesided = at.integer("inverse", 0), at.integer("onesided", 0)
    if inverse and onesided:
        raise at.refusal("onesided and inverse together are not built")
    if at.shape(0)[-1] not in (1, 2):
        raise at.refusal("whether its operand is real or complex is unknown")
    axis = _axis(op, at)
    own = extent(op, at.x, axis)
    length = own if (given := at.operand(1)) is None else op.Reshape(given, [1])
    g = at.g
    if onesided:
        g = op.Pad(g, op.Concat([0], op.Sub(length, extent(op, g, axis)), axis=0), None, [axis])
    if op.graph.opset < _AXIS_IS_OPERAND:
        back = op.DFT(g, axis=axis, inverse=1 - inverse)
    else:
        back = op.DFT(g, None, np.int64(axis), inverse=1 - inverse)
    count = number(op, op.Concat(length, axis=0), at.x)
    back = op.Div(back, count) if inverse else op.Mul(back, count)
    if at.shape(0)[-1] == 1:
        back = op.Slice(back, [0], [1], [-1])
    if at.operand(1) is not None:  # what was filled up is cut off, what was cut off is filled up
        back = op.Pad(back, op.Concat([0], op.Sub(own, length), axis=0), None, [axis])
    return [back]


def _axis(op: Emitter, at: Site) -> int:
    rank = len(at.shape(0))
    if op.graph.opset < _AXIS_IS_OPERAND:
        return at.integer("axis", 1) % rank
    axis = -2 if at.operand(2) is None else int(at.required(2, "axis").reshape(()))
    return axis % rank


@vjp("STFT", stops=[2])
def stft(op: Emitter, at: Site) -> list[str]:
    """Overlap and add the windowed waves of each frame: one transposed convolution."""
    shape = at.shape(0)
    if len(shape) > 2 and shape[-1] != 1:
        raise at.refusal("only real signals are built")
    step = int(at.required(1, "frame_step").reshape(()))
    window = None if at.operand(2) is None else at.required(2, "window")
    if window is None:
        window = np.ones(int(at.required(3, "frame_length").reshape(())))
    length = len(window)
    bins = length // 2 + 1 if at.integer("onesided", 1) else length
    angles = 2 * np.pi * np.outer(np.arange(bins), np.arange(length)) / length
    waves = np.stack([np.cos(angles), -np.sin(angles)], axis=1) * window
    dtype = helper.tensor_dtype_to_np_dtype(op.graph.dtype(at.x))
    weight = waves.reshape(2 * bins, 1, length).astype(dtype)
    frames = op.Transpose(at.g, perm=[0, 2, 3, 1])
    merged = op.Reshape(
        frames, op.Concat(extent(op, frames, 0), [2 * bins], extent(op, frames, 3), axis=0)
    )
    heard = op.ConvTranspose(merged, weight, strides=[step])
    missing = op.Sub(extent(op, at.x, 1), extent(op, heard, 2))
    return [reshape_like(op, op.Pad(heard, op.Concat([0], missing, axis=0), None, [2]), at.x)]
