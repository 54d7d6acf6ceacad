"""Sliding windows: the geometry that convolutions and poolings share, and how to undo it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from candor.autodiff.emitter import Attribute, Emitter
from candor.autodiff.rules.table import Site

__all__ = ["Window", "spread", "window"]


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel, strides, dilations and padding, one entry per spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """How far a kernel reaches, its gaps included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))


def window(at: Site, kernel: Sequence[int]) -> Window:
    """Read a node's window; auto_pad is resolved from the static spatial extents."""
    n = len(kernel)
    strides = at.integers("strides", (1,) * n)
    dilations = at.integers("dilations", (1,) * n)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = at.integers("pads", (0,) * 2 * n)
    mode = at.text("auto_pad", "NOTSET")
    if mode == "VALID":
        pads = (0,) * 2 * n
    elif mode in {"SAME_UPPER", "SAME_LOWER"}:
        totals = [_same(at, *axis) for axis in zip(range(2, n + 2), strides, spans, strict=True)]
        lower = mode == "SAME_LOWER"
        begins = [int((t + lower) / 2) for t in totals]  # rounded towards 0, as the runtime does
        pads = (*begins, *(t - begin for t, begin in zip(totals, begins, strict=True)))
    return Window(tuple(kernel), strides, dilations, pads[:n], pads[n:])


def _same(at: Site, axis: int, stride: int, span: int) -> int:
    extent = at.shape(0)[axis]
    if not isinstance(extent, int):
        if stride == 1:
            return span - 1
        raise at.refusal(f"auto_pad with a stride needs a fixed extent of axis {axis}")
    total = (-(-extent // stride) - 1) * stride + span - extent
    # A stride beyond the kernel leaves a rest, which ONNX Runtime's poolings cut off at both ends
    # and its convolutions at the end alone, up to two elements.
    if at.node.op_type.endswith("Pool"):
        return total
    if total < -2:
        raise at.refusal(f"auto_pad with a stride of {stride} over a kernel of {span} is not built")
    return max(total, 0)


def spread(op: Emitter, at: Site, g: str, weight: str | np.ndarray, view: Window) -> str:
    """Transpose a windowed sum: hand each output's cotangent back to the inputs it covered.

    `weight` is [channels of g, channels of x / group, *kernel]; the result has the spatial
    extents of the node's first operand.
    """
    extents, results = at.shape(0)[2:], op.graph.shape(at.y)
    geometry: dict[str, Attribute] = {
        "kernel_shape": view.kernel,
        "strides": view.strides,
        "dilations": view.dilations,
        "group": at.integer("group", 1),
    }
    overhang = None if results is None else _overhang(extents, results[2:], view)
    if overhang is not None:
        geometry |= {"pads": [*view.begins, *view.ends], "output_padding": overhang}
        return op.ConvTranspose(g, weight, **geometry)
    whole = op.ConvTranspose(g, weight, **geometry)
    # Cut off what the padding added, then cut or fill the end: the last stride may not fit.
    n = len(view.kernel)
    axes = list(range(2, n + 2))
    starts = [max(begin, 0) for begin in view.begins]
    before = [max(-begin, 0) for begin in view.begins]
    cut = op.Slice(whole, starts, [np.iinfo(np.int64).max] * n, axes)
    missing = op.Sub(op.Sub(op.Shape(at.x, start=2), op.Shape(cut, start=2)), before)
    return op.Pad(cut, op.Concat(before, missing, axis=0), None, axes)


def _overhang(
    extents: Sequence[int | str | None], results: Sequence[int | str | None], view: Window
) -> list[int] | None:
    """Return by how much x ends beyond the last window; None if that needs the general form."""
    if min((*view.begins, *view.ends), default=0) < 0:
        return None
    overhang = []
    for axis, (extent, result) in enumerate(zip(extents, results, strict=True)):
        if not isinstance(extent, int) or not isinstance(result, int):
            return None
        covered = (result - 1) * view.strides[axis] + view.spans[axis]
        overhang.append(extent - (covered - view.begins[axis] - view.ends[axis]))
        if not 0 <= overhang[-1] < view.strides[axis]:
            return None
    return overhang
