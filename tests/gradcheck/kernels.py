"""Float64 kernels for what onnx's reference evaluator computes in float32 or not at all."""

import numpy as np
import torch
from onnx.reference.op_run import OpRun
from torch.nn import functional

from gradcheck import windows

__all__ = ["KERNELS"]


class Erf(OpRun):
    """The reference returns float32."""

    def _run(self, x):
        return (torch.erf(torch.from_numpy(np.asarray(x))).numpy(),)


class Gelu(OpRun):
    """The reference builds on its float32 Erf."""

    def _run(self, x, approximate=None):
        return (
            functional.gelu(
                torch.from_numpy(np.asarray(x)), approximate=approximate or "none"
            ).numpy(),
        )


class GlobalLpPool(OpRun):
    """Missing from the reference."""

    def _run(self, x, p=None):
        axes = tuple(range(2, x.ndim))
        return ((np.abs(x) ** p).sum(axes, keepdims=True) ** (1 / p),)


class LRN(OpRun):
    """The reference slides over the batch."""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        before = (size - 1) // 2
        padded = np.pad(x**2, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
        sums = sum(padded[:, i : i + x.shape[1]] for i in range(size))
        return (x / (bias + alpha / size * sums) ** beta,)


class ConvTranspose(OpRun):
    """The reference knows neither groups in a batch nor every padding."""

    def _run(
        self,
        x,
        w,
        b=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        output_padding=None,
        output_shape=None,
        pads=None,
        strides=None,
    ):
        n = x.ndim - 2
        strides, dilations = strides or [1] * n, dilations or [1] * n
        whole = [
            functional.conv_transpose1d,
            functional.conv_transpose2d,
            functional.conv_transpose3d,
        ][n - 1](
            torch.tensor(x),
            torch.tensor(w),
            None,
            strides,
            0,
            0,
            group or 1,
            dilations,
        ).numpy()
        extra = output_padding or [0] * n
        whole = np.pad(whole, [(0, 0), (0, 0), *((0, e) for e in extra)])
        pads = pads or [0] * 2 * n
        ends = [whole.shape[2 + i] - pads[n + i] for i in range(n)]
        inside = tuple(slice(pads[i], ends[i]) for i in range(n))
        return (np.ascontiguousarray(whole[(slice(None), slice(None), *inside)]),)


class Mean(OpRun):
    """The reference does not broadcast its first operand."""

    def _run(self, *parts):
        return (np.asarray(sum(parts) / len(parts)),)


class MeanVarianceNormalization(OpRun):
    """The reference adds a float32 constant, which it then refuses."""

    def _run(self, x, axes=None):
        axes = tuple(axes or (0, 2, 3))
        return ((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9),)


class Pad(OpRun):
    """The reference does not cut where padding is negative."""

    def _run(self, x, pads, value=None, axes=None, mode=None):
        axes = range(x.ndim) if axes is None else axes
        for i, axis in enumerate(axes):
            before, after = int(pads[i]), int(pads[len(axes) + i])
            x = np.moveaxis(x, axis, 0)
            x = x[max(-before, 0) : len(x) - max(-after, 0)]
            margins = [(max(before, 0), max(after, 0)), *[(0, 0)] * (x.ndim - 1)]
            x = np.moveaxis(np.pad(x, margins, constant_values=value or 0), 0, axis)
        return (x,)


class RMSNormalization(OpRun):
    """The reference computes in float32."""

    def _run(self, x, scale, axis=None, epsilon=None, stash_type=None):
        axes = tuple(range(axis % x.ndim, x.ndim))
        return (x / np.sqrt((x**2).mean(axes, keepdims=True) + epsilon) * scale,)


KERNELS = [
    *windows.KERNELS,
    ConvTranspose,
    Erf,
    Gelu,
    GlobalLpPool,
    LRN,
    Mean,
    MeanVarianceNormalization,
    Pad,
    RMSNormalization,
]
