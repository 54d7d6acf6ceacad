"""Rules of convolutions."""

import numpy as np

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.extents import static
from candor.autodiff.rules.phases import unstride
from candor.autodiff.rules.table import Site, vjp
from candor.autodiff.rules.weave import each_part
from candor.autodiff.rules.window import spread, window

__all__: list[str] = []


@vjp("Conv")
def conv(op: Emitter, at: Site) -> list[str]:
    """Transpose the convolution; with stride 1 that is a convolution with the flipped kernel.

    The latter costs as much as the way forward, where ConvTranspose costs up to eight times that
    (depthwise, on ONNX Runtime's CPU kernels).
    """
    weight = at.node.input[1]
    shape = op.graph.shape(weight)
    kernel = at.integers("kernel_shape") or tuple(
        d for d in (shape or ())[2:] if isinstance(d, int)
    )
    if not kernel:
        raise at.refusal("the shape of its kernel is unknown")
    view = window(at, kernel)
    margins = [
        span - 1 - pad
        for pads in (view.begins, view.ends)
        for span, pad in zip(view.spans, pads, strict=True)
    ]
    known = at.constant(1)
    if known is not None and set(view.strides) != {1}:
        phased = unstride(op, at, known, view)
        if phased is not None:
            return [phased]
    if known is None or set(view.strides) != {1} or min(margins) < 0:
        return [spread(op, at, at.g, weight, view)]
    group = at.integer("group", 1)
    turned = _flipped(known, group)

    def pulled(g: str) -> str:
        return op.Conv(
            g, turned, kernel_shape=kernel, dilations=view.dilations, pads=margins, group=group
        )

    # A single tap acts on each part alone; parts of more channels would be more to weave.
    if set(kernel) == {1} and not any(margins) and len(turned) <= len(known):
        parted = each_part(op, at, lambda part, _: pulled(part))
        if parted is not None:
            return [parted]
    return [pulled(at.g)]


def _kernel(at: Site) -> tuple[int, ...]:
    extents = static(at.shape(1)[2:])
    if extents is None:
        raise at.refusal("the shape of its kernel is unknown")
    return extents


def _flipped(weight: np.ndarray, group: int) -> np.ndarray:
    """Swap a kernel's input and output channels within each group and reverse it in space."""
    m, c = weight.shape[:2]
    kernel = weight.shape[2:]
    swapped = weight.reshape(group, m // group, c, *kernel).swapaxes(1, 2)
    flipped = swapped.reshape(group * c, m // group, *kernel)
    return np.ascontiguousarray(np.flip(flipped, axis=tuple(range(2, flipped.ndim))))


@vjp("ConvTranspose")
def conv_transpose(op: Emitter, at: Site) -> list[str]:
    """The transpose of a transposed convolution is the convolution itself, with its weight."""
    weight = at.node.input[1]
    shape = op.graph.shape(weight)
    kernel = at.integers("kernel_shape") or tuple(
        d for d in (shape or ())[2:] if isinstance(d, int)
    )
    if not kernel:
        raise at.refusal("the shape of its kernel is unknown")
    if at.has("output_shape") or at.text("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise at.refusal("output_shape and auto_pad are not built")
    view = window(at, kernel)
    return [
        op.Conv(
            at.g,
            weight,
            kernel_shape=kernel,
            strides=view.strides,
            dilations=view.dilations,
            pads=[*view.begins, *view.ends],
            group=at.integer("group", 1),
        )
    ]
