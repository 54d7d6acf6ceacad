"""How windows slide over a value's positions: convolutions and poolings, their padding resolved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from candor.autodiff import Graph
from candor.result import Array

__all__ = ["View", "attributes", "counted", "extents_of", "view_of"]


@dataclass(frozen=True, slots=True)
class View:
    """A sliding window, an entry an axis.

    Attributes:
        spans: how far a window reaches, its gaps included.
        begins: padding before the first position.
        ends: from the last position to where the last window ends; negative where it ends before.
        results: how many windows there are.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    spans: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    results: tuple[int, ...]

    @property
    def kernel(self) -> tuple[int, ...]:
        """How many positions a window reads."""
        sides = zip(self.spans, self.dilations, strict=True)
        return tuple((span - 1) // step + 1 for span, step in sides)

    @property
    def is_even(self) -> bool:
        """Whether each window is one position, in its own place."""
        return max(*self.spans, *self.strides) == 1 and not any((*self.begins, *self.ends))

    def read(self, low: Array, high: Array) -> tuple[Array, Array]:
        """What windows [low, high) read, in positions that count the padding; int64 [n, axes]."""
        strides = np.array(self.strides)
        return low * strides, (high - 1) * strides + self.spans

    def reached(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Which windows read any of the positions [low, high): at least one, needed or not."""
        strides, begins, results = map(np.array, (self.strides, self.begins, self.results))
        first = -((np.array(self.spans) - 1 - begins - low) // strides)  # rounded up
        first = np.clip(first, 0, results - 1)
        last = np.minimum((high - 1 + begins) // strides + 1, results)
        return first, np.maximum(last, first + 1)


def attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def extents_of(graph: Graph, value: str, axes: Sequence[int]) -> tuple[int, ...]:
    """The extents of some axes; those that are not known are left out."""
    shape = graph.shape(value) or ()
    return tuple(e for axis in axes if axis < len(shape) and isinstance(e := shape[axis], int))


def view_of(graph: Graph, node: NodeProto) -> View | None:
    """The windows of a Conv, MaxPool or AveragePool; None where they cannot be told."""
    given = attributes(node)
    axes = range(2, graph.rank(node.input[0]) or 0)
    extents, results = (extents_of(graph, name, axes) for name in (node.input[0], node.output[0]))
    n = len(axes)
    if not n or len(extents) != n or len(results) != n:
        return None
    kernel = given.get("kernel_shape") or extents_of(graph, node.input[1], axes)
    strides = tuple(given.get("strides", (1,) * n))
    dilations = tuple(given.get("dilations", (1,) * n))
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    sides = zip(results, strides, spans, extents, strict=True)
    missing = [(y - 1) * stride + span - x for y, stride, span, x in sides]
    mode = given.get("auto_pad", b"") or b"NOTSET"
    if mode in {b"SAME_UPPER", b"SAME_LOWER"}:
        begins = tuple(total // 2 if mode == b"SAME_UPPER" else -(-total // 2) for total in missing)
    else:
        begins = tuple(given.get("pads", (0,) * n)[:n]) if mode == b"NOTSET" else (0,) * n
    # A last window that begins behind everything is there for ONNX, and not for ONNX Runtime.
    lasts = ((y - 1) * stride for y, stride in zip(results, strides, strict=True))
    behind = any(at >= x + b for at, x, b in zip(lasts, extents, begins, strict=True))
    if min(begins) < 0 or behind:
        return None
    ends = tuple(total - begin for total, begin in zip(missing, begins, strict=True))
    return View(strides, dilations, spans, begins, ends, results)


def counted(graph: Graph, node: NodeProto, view: View) -> Array:
    """By what a mean over all of a window is to be multiplied, float32 [1, 1, ...windows].

    An AveragePool divides by what it counts: the positions, or the declared padding as well, but
    never what a window reaches beyond that.
    """
    given = attributes(node)
    n = len(view.spans)
    dilations = given.get("dilations", (1,) * n)
    same = given.get("auto_pad", b"").startswith(b"SAME")
    declared = view.ends if same else tuple(given.get("pads", (0,) * 2 * n))[n:]
    ratio = np.ones((1, 1))
    for axis, extent in enumerate(extents_of(graph, node.input[0], range(2, n + 2))):
        begin = view.begins[axis]
        included = bool(given.get("count_include_pad"))
        low, high = (-begin, extent + declared[axis]) if included else (0, extent)
        starts = np.arange(view.results[axis])[:, None] * view.strides[axis] - begin
        taps = starts + np.arange(0, view.spans[axis], dilations[axis])
        inside = ((taps >= low) & (taps < high)).sum(axis=1)
        ratio = ratio[..., None] * (taps.shape[1] / np.maximum(inside, 1))
    return ratio.astype(np.float32)
