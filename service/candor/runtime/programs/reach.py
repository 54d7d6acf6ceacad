"""What a window over the input can reach: for every value, the box of positions that may change.

A box is [low, high) along each axis of the positions. Boxes of many windows are computed at once,
[windows, axes]; a value without a box may change everywhere.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto

from candor.autodiff import Graph
from candor.result import Array
from candor.runtime.programs.views import View, attributes, extents_of, view_of

__all__ = ["Boxes", "Patch", "Reach", "is_mean", "reach"]

Boxes = tuple[Array, Array]
"""Low and high ends, int64 [windows, axes] each."""
_Rule = Callable[[Sequence[Boxes]], Boxes]


class Patch(NamedTuple):
    """A value that changes within a box only.

    Attributes:
        box: its number.
        axes: of the value, that the positions lie on.
    """

    box: int
    axes: tuple[int, ...]


class Reach:
    """How far changes of the input get.

    Attributes:
        patches: of each value that changes within a box only.
        changed: all values that may change.
        views: of each node that slides windows over a patch, by the name of what it writes.
        samples: the boxes of windows that stand for all.
    """

    def __init__(self, source: str, axes: tuple[int, ...], extents: tuple[int, ...]) -> None:
        self.patches: dict[str, Patch] = {source: Patch(0, axes)}
        self.changed: set[str] = {source}
        self.views: dict[str, View] = {}
        self.samples: list[Boxes] = [_smallest_and_largest(extents)]
        self._rules: list[_Rule] = []

    def box(self, rule: _Rule) -> int:
        """Number a box that is made of those before it."""
        self._rules.append(rule)
        self.samples.append(rule(self.samples))
        return len(self._rules)

    def boxes(self, windows: Boxes) -> list[Boxes]:
        """All boxes, of windows over the input; the first box is the window itself."""
        found = [windows]
        for rule in self._rules:
            found.append(rule(found))
        return found

    def holds(self, outer: int, inner: int) -> bool:
        """Whether one box lies within another, whatever the window."""
        (low, high), (least, most) = self.samples[outer], self.samples[inner]
        return bool((low <= least).all() and (most <= high).all())


def is_mean(graph: Graph, node: NodeProto, patch: Patch) -> bool:
    """Whether a node takes the mean over all positions of a patch, and nothing else."""
    if node.op_type == "GlobalAveragePool":
        return patch.axes == tuple(range(2, graph.rank(node.input[0]) or 0))
    if node.op_type != "ReduceMean" or len(node.input) < 2:
        return False
    axes, rank = graph.constant(node.input[1]), graph.rank(node.input[0]) or 1
    return axes is not None and sorted(axis % rank for axis in axes.tolist()) == [*patch.axes]


def _smallest_and_largest(extents: tuple[int, ...]) -> Boxes:
    """Windows that stand for all: those of one position, and the largest from and to each.

    A box's low end depends on the window's low end alone, its high end is the larger one of what
    follows from either end: what holds for ends of these windows holds for all.
    """
    at = np.minimum(np.arange(max(extents))[:, None], np.array(extents) - 1)
    none, every = np.zeros_like(at), np.broadcast_to(extents, at.shape)
    return np.concatenate([at, at, none]), np.concatenate([at + 1, every, at + 1])


def reach(graph: Graph, source: str, axes: tuple[int, ...]) -> Reach:
    """Follow changes of boxes of a graph's input.

    Args:
        graph: whose extents should be known; what is not stops the following there.
        source: the input.
        axes: of it, that the positions lie on.
    """
    found = Reach(source, axes, extents_of(graph, source, axes))
    for node in graph.nodes:
        if found.changed.isdisjoint(node.input):
            continue
        found.changed.update(node.output)
        patch = _followed(graph, node, found)
        if patch is not None:
            found.patches[node.output[0]] = patch
            _widen(graph, node, found)
        else:
            found.views.pop(node.output[0], None)
    return found


def _followed(graph: Graph, node: NodeProto, found: Reach) -> Patch | None:
    follow = _FOLLOW.get(node.op_type) if not node.domain and len(node.output) == 1 else None
    shape = graph.shape(node.output[0])
    known = shape is not None and all(isinstance(extent, int) for extent in shape)
    if follow is None or not known or graph.dtype(node.output[0]) != TensorProto.FLOAT:
        return None
    if any(name in found.changed and name not in found.patches for name in node.input):
        return None
    return follow(graph, node, found)


def _widen(graph: Graph, node: NodeProto, found: Reach) -> None:
    """Let operands that are cheap to compute reach as far as what they are joined with.

    Setting a narrower one into its surroundings costs more than to compute the same of a value that
    a convolution beside it needs the surroundings of anyway.
    """
    box = found.patches[node.output[0]].box
    for name in node.input:
        if name in found.patches and found.patches[name].box != box:
            for value in _chain(graph, name, found):
                found.patches[value] = found.patches[value]._replace(box=box)


def _chain(graph: Graph, value: str, found: Reach) -> list[str]:
    """The values on the way to one from another that is read around; [] where there is none."""
    chain: list[str] = []
    while (node := graph.producer(value)) is not None and len(graph.consumers(value)) == 1:
        chain.append(value)
        sources = [name for name in node.input if name in found.patches]
        if value in found.views or len(sources) != 1:
            break
        value = sources[0]
        readers = (found.views.get(reader.output[0]) for reader in graph.consumers(value))
        if any(view is not None and max(view.spans) > 1 for view in readers):
            return chain
    return []


def _slid(graph: Graph, node: NodeProto, found: Reach) -> Patch | None:
    patch, view = found.patches.get(node.input[0]), view_of(graph, node)
    if patch is None or patch.axes != tuple(range(2, graph.rank(node.input[0]) or 0)):
        return None
    if view is None or any(name in found.changed for name in node.input[1:]):
        return None
    if view.is_even:
        return patch
    found.views[node.output[0]] = view
    return Patch(found.box(lambda boxes: view.reached(*boxes[patch.box])), patch.axes)


def _pointwise(graph: Graph, node: NodeProto, found: Reach) -> Patch | None:
    """Operators of which every position sees that position of its operands only."""
    axes = _common_axes(graph, node, found)
    if axes is None or not all(_is_even(graph, node, name, axes, found) for name in node.input):
        return None
    rest = [axis for axis in range(1, graph.rank(node.output[0]) or 0) if axis not in axes]
    widths = {extents_of(graph, name, rest) for name in node.input if name in found.patches}
    alike = all(math.prod(w) == 1 for w in widths - {extents_of(graph, node.output[0], rest)})
    return Patch(_union(node, found), axes) if alike else None


def _common_axes(graph: Graph, node: NodeProto, found: Reach) -> tuple[int, ...] | None:
    patched = [name for name in node.input if name in found.patches]
    axes = found.patches[patched[0]].axes
    rank, extents = graph.rank(node.output[0]), extents_of(graph, node.output[0], axes)

    def fits(name: str) -> bool:
        same = found.patches[name].axes == axes and graph.rank(name) == rank
        return same and extents_of(graph, name, axes) == extents

    return axes if all(map(fits, patched)) else None


def _is_even(graph: Graph, node: NodeProto, name: str, axes: tuple[int, ...], found: Reach) -> bool:
    """Whether an operand is a patch, or the same at all positions."""
    if not name or name in found.patches:
        return True
    shape, rank = graph.shape(name), graph.rank(node.output[0]) or 0
    own = [axis - rank + len(shape or ()) for axis in axes]
    return shape is not None and all(axis < 0 or shape[axis] == 1 for axis in own)


def _union(node: NodeProto, found: Reach) -> int:
    """The box of several: that of them which holds the others, or a new one round all."""
    numbers = sorted({found.patches[name].box for name in node.input if name in found.patches})
    for number in numbers:
        if all(found.holds(number, other) for other in numbers):
            return number

    def made(boxes: Sequence[Boxes]) -> Boxes:
        lows, highs = zip(*(boxes[number] for number in numbers), strict=True)
        return np.minimum.reduce(lows), np.maximum.reduce(highs)

    return found.box(made)


def _by_channel(_: Graph, node: NodeProto, found: Reach) -> Patch | None:
    """BatchNormalization: the operands after the first have an entry a channel."""
    patch = found.patches.get(node.input[0])
    return patch if patch is not None and min(patch.axes) > 1 else None


def _joined(graph: Graph, node: NodeProto, found: Reach) -> Patch | None:
    axes = _common_axes(graph, node, found)
    axis = int(attributes(node)["axis"]) % (graph.rank(node.output[0]) or 1)
    if axes is None or any(name not in found.patches for name in node.input):
        return None
    if axis != min(set(range(1, graph.rank(node.output[0]) or 0)) - set(axes), default=0):
        return None
    return Patch(_union(node, found), axes)


def _transposed(graph: Graph, node: NodeProto, found: Reach) -> Patch | None:
    patch = found.patches[node.input[0]]
    order = list(attributes(node).get("perm", range(graph.rank(node.input[0]) or 0)[::-1]))
    axes = tuple(order.index(axis) for axis in patch.axes)
    rest = [axis for axis in order[1:] if axis not in patch.axes]
    kept = order[0] == 0 and list(axes) == sorted(axes) and rest == sorted(rest)
    return Patch(patch.box, axes) if kept else None


_POINTWISE: Final = (
    "Abs Add Ceil Celu Clip Div Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity LeakyRelu "
    "Log Max Min Mish Mul Neg PRelu Pow Reciprocal Relu Selu Shrink Sigmoid Softplus Softsign Sqrt "
    "Sub Sum Swish Tanh ThresholdedRelu"
).split()

_FOLLOW: Final[dict[str, Callable[[Graph, NodeProto, Reach], Patch | None]]] = {
    **dict.fromkeys(["AveragePool", "Conv", "MaxPool"], _slid),
    **dict.fromkeys(_POINTWISE, _pointwise),
    "BatchNormalization": _by_channel,
    "Concat": _joined,
    "Transpose": _transposed,
}
