"""Convolutions and averages over windows as sums over the taps of their kernel.

For each tap a strided slice of the padded operand holds what the windows have there.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from candor.autodiff import Emitter, Graph
from candor.autodiff.rules.window import Window

__all__ = ["average_pool", "conv", "conv_transpose"]

_END = np.iinfo(np.int64).max


def _given(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _window(graph: Graph, node: NodeProto, kernel: Sequence[int]) -> Window | None:
    """Read a node's window; None where auto_pad needs an extent that is unknown."""
    n, given = len(kernel), _given(node)
    strides = tuple(given.get("strides", (1,) * n))
    dilations = tuple(given.get("dilations", (1,) * n))
    pads = tuple(given.get("pads", (0,) * 2 * n))
    view = Window(tuple(kernel), strides, dilations, pads[:n], pads[n:])
    mode = given.get("auto_pad", b"NOTSET")
    if mode in (b"NOTSET", b"VALID"):
        return view
    extents = (graph.shape(node.input[0]) or ())[2:]
    begins, ends = [], []
    for extent, stride, span in zip(extents, strides, view.spans, strict=True):
        if not isinstance(extent, int):
            return None
        total = (-(-extent // stride) - 1) * stride + span - extent
        # Where a stride exceeds its kernel, ONNX Runtime's poolings cut off, others do not.
        total = total if node.op_type.endswith("Pool") else max(total, 0)
        begins.append(int((total + (mode == b"SAME_LOWER")) / 2))
        ends.append(total - begins[-1])
    return Window(view.kernel, strides, dilations, tuple(begins), tuple(ends))


def conv(op: Emitter, node: NodeProto) -> list[str] | None:
    """Sum the products of each tap's weights with the slice of the operand at that tap."""
    shape = _static(op.graph, node.input[1])
    view = None if shape is None else _window(op.graph, node, shape[2:])
    if shape is None or view is None:
        return None
    group = int(_given(node).get("group", 1))
    return [_biased(op, node, _correlate(op, node.input[0], node.input[1], shape, view, group))]


def conv_transpose(op: Emitter, node: NodeProto) -> list[str] | None:
    """Correlate the operand, zeros put between its elements, with the kernel turned round."""
    weight, given = op.graph.constant(node.input[1]), _given(node)
    automatic = given.get("auto_pad", b"NOTSET") != b"NOTSET"
    view = None if weight is None else _window(op.graph, node, weight.shape[2:])
    if weight is None or view is None or automatic or "output_shape" in given:
        return None
    n, group = len(view.kernel), int(given.get("group", 1))
    extra = given.get("output_padding", (0,) * n)
    begins = tuple(span - 1 - pad for span, pad in zip(view.spans, view.begins, strict=True))
    ends = tuple(s - 1 - pad + e for s, pad, e in zip(view.spans, view.ends, extra, strict=True))
    c, m = weight.shape[:2]
    swapped = weight.reshape(group, c // group, m, *view.kernel).swapaxes(1, 2)
    turned = np.flip(swapped.reshape(group * m, c // group, *view.kernel), tuple(range(2, 2 + n)))
    wide = _apart(op, node.input[0], view.strides)
    ones = Window(view.kernel, (1,) * n, view.dilations, begins, ends)
    held = op.constant(np.ascontiguousarray(turned))
    return [_biased(op, node, _correlate(op, wide, held, turned.shape, ones, group))]


def average_pool(op: Emitter, node: NodeProto) -> list[str] | None:
    """Divide the sum over each window by the sum of ones that it sees."""
    x, given = node.input[0], _given(node)
    view = _window(op.graph, node, given["kernel_shape"])
    if view is None:
        return None
    included = 1.0 if given.get("count_include_pad", 0) else 0.0
    seen = _padded(op, x, view.begins, view.ends, 0.0)
    ones = _padded(op, op.Add(op.Mul(x, 0.0), 1.0), view.begins, view.ends, included)
    if given.get("ceil_mode", 0):
        beyond, none = [stride - 1 for stride in view.strides], [0] * len(view.strides)
        seen, ones = (_padded(op, value, none, beyond, 0.0) for value in (seen, ones))
    sums = [_total(op, [part for _, part in _taps(op, value, view)]) for value in (seen, ones)]
    mean = op.Div(*sums)
    if not given.get("ceil_mode", 0):
        return [mean]
    # Windows that would begin beyond the operand do not count.
    sizes = [s if isinstance(s, int) else _END for s in (op.graph.shape(node.output[0]) or ())[2:]]
    return [op.Slice(mean, [0] * len(sizes), sizes, list(range(2, 2 + len(sizes))))]


def _static(graph: Graph, value: str) -> tuple[int, ...] | None:
    shape = graph.shape(value) or ()
    known = tuple(size for size in shape if isinstance(size, int))
    return known if known and len(known) == len(shape) else None


def _correlate(
    op: Emitter, x: str, weight: str, shape: tuple[int, ...], view: Window, group: int
) -> str:
    """x [n, c, ...], weight [m, c / group, *kernel] of a known shape -> [n, m, ...]."""
    m, width, n = shape[0], shape[1], len(view.kernel)
    alone = width == 1 and m == group  # one channel each: products of numbers, not of matrices
    axes = list(range(2, 2 + n))
    padded = _padded(op, x, view.begins, view.ends, 0.0)
    parts, spatial = [], ""
    for place, seen in _taps(op, padded, view):
        picked = op.Slice(weight, list(place), [p + 1 for p in place], axes)
        spatial = spatial or op.Shape(seen, start=2)
        if alone:
            parts.append(op.Mul(seen, op.Reshape(picked, [m, *[1] * n])))
        else:
            matrix = op.Reshape(picked, [group, m // group, width])
            parts.append(op.MatMul(matrix, op.Reshape(seen, [0, group, width, -1])))
    summed = _total(op, parts)
    return summed if alone else op.Reshape(summed, op.Concat([0, m], spatial, axis=0))


def _taps(op: Emitter, x: str, view: Window) -> Iterator[tuple[tuple[int, ...], str]]:
    """Each tap's place in the kernel, and what all the windows have there."""
    axes = list(range(2, 2 + len(view.kernel)))
    for place in product(*map(range, view.kernel)):
        starts = [p * d for p, d in zip(place, view.dilations, strict=True)]
        behind = [span - 1 - start for span, start in zip(view.spans, starts, strict=True)]
        ends = [-rest if rest else _END for rest in behind]
        yield place, op.Slice(x, starts, ends, axes, list(view.strides))


def _total(op: Emitter, parts: Sequence[str]) -> str:
    return op.Sum(*parts) if len(parts) > 1 else parts[0]


def _padded(op: Emitter, x: str, begins: Sequence[int], ends: Sequence[int], fill: float) -> str:
    if not any((*begins, *ends)):
        return x
    return op.Pad(x, [0, 0, *begins, 0, 0, *ends], np.float64(fill))


def _apart(op: Emitter, x: str, strides: Sequence[int]) -> str:
    """Put stride - 1 zeros between the elements of each spatial axis."""
    n = len(strides)
    for index, stride in enumerate(strides):
        if stride == 1:
            continue
        axis = 2 + index
        parted = op.Unsqueeze(x, [axis + 1])
        pads = [0] * 2 * (n + 3)
        pads[n + 3 + axis + 1] = stride - 1
        wide = op.Pad(parted, pads, np.float64(0))
        head, tail = op.Shape(x, end=axis), op.Shape(x, start=axis + 1)
        merged = op.Reshape(wide, op.Concat(head, [-1], tail, axis=0))
        x = op.Slice(merged, [0], [-(stride - 1)], [axis])
    return x


def _biased(op: Emitter, node: NodeProto, value: str) -> str:
    if len(node.input) < 3 or not node.input[2]:
        return value
    n = (op.graph.rank(value) or 2) - 2
    return op.Add(value, op.Reshape(node.input[2], [-1, *[1] * n]))
