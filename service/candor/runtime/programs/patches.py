"""The operators of a model, appended once more for what a window can reach."""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto

from candor.autodiff import Emitter, Graph
from candor.runtime.programs.gradient import BASELINE
from candor.runtime.programs.operands import Operands
from candor.runtime.programs.reach import Reach, is_mean
from candor.runtime.programs.views import attributes, counted

__all__ = ["Patches"]

_PADDING: Final = frozenset({"auto_pad", "ceil_mode", "count_include_pad", "pads"})
_FEW_CHANNELS: Final = 16
"""Fewer channels are rows too short to be gathered one by one."""


class Patches:
    """Appends to a graph, for each node whose result is a patch, one that computes the patch.

    A patch is a matrix: a row for each of its positions, in order, of one window after the other.

    Attributes:
        operands: what they read; its splicer knows what they need of their surroundings.
    """

    def __init__(self, source: Graph, target: Graph, found: Reach) -> None:
        self.operands = Operands(source, target, found)
        self._source, self._target, self._found = source, target, found
        self._op = Emitter(target, "candor/patch")
        self._n = len(next(iter(found.patches.values())).axes)

    def start(self, source: str) -> None:
        """Begin with the window itself, cut out of the baseline."""
        operands = self.operands
        size = (math.prod(operands.extents(source)), operands.width(source))
        baseline = self._target.add_input(BASELINE, TensorProto.FLOAT, size)
        operands.rows[source] = self._op.Gather(baseline, operands.places(source), axis=0)

    def twin(self, node: NodeProto) -> None:
        """Append the node that computes the patch of a node's result."""
        self.operands.rows[node.output[0]] = self._twins().get(node.op_type, self._pointwise)(node)

    def whole(self, value: str) -> str:
        """The value with its patch set in."""
        shape, axes = self._source.shape(value) or (), self._found.patches[value].axes
        order = [0, *axes, *(axis for axis in range(1, len(shape)) if axis not in axes)]
        rows = self.operands.everywhere(value)
        made = self._op.Reshape(rows, [-1, *(int(shape[axis] or 0) for axis in order[1:])])
        return self._op.Transpose(made, perm=np.argsort(order).tolist())

    def instead(self, node: NodeProto) -> str | None:
        """What a node makes of a whole value, where that can be told without it; else None."""
        if node.op_type == "Shape":
            return self._shape(node)
        patch = self._found.patches.get(node.input[0])
        mean = patch is not None and is_mean(self._source, node, patch)
        return self._mean(node) if mean else None

    def _shape(self, node: NodeProto) -> str:
        """Of a value of all windows."""
        shape, given = self._source.shape(node.input[0]) or (), attributes(node)
        rest = np.array([int(extent or 0) for extent in shape[1:]], np.int64)
        full = self._op.Concat(self.operands.splicer.n_windows(), rest, axis=0)
        return self._op.Slice(full, [given.get("start", 0)], [given.get("end", len(shape))])

    def _mean(self, node: NodeProto) -> str:
        """A mean over all positions: of the patch, and of what is round it."""
        value, shape = node.input[0], self._source.shape(node.output[0]) or ()
        n_positions = math.prod(self.operands.extents(value))
        total = self._op.Add(*self.operands.sums(value))
        found = self._op.Mul(total, np.float32(1 / n_positions))
        return self._op.Reshape(found, [-1, *(int(extent or 0) for extent in shape[1:])])

    # One operator each: from a node to the matrix of its result

    def _twins(self) -> Mapping[str, Callable[[NodeProto], str]]:
        return {
            "AveragePool": self._average,
            "BatchNormalization": self._normalised,
            "Concat": self._joined,
            "Conv": self._convolved,
            "MaxPool": self._greatest,
            "Transpose": lambda node: self.operands.of(node, node.input[0]),
        }

    def _convolved(self, node: NodeProto) -> str:
        """A product of matrices, or the convolution itself where that is not one."""
        weights = self._source.shape(node.input[1]) or ()
        made, channels = int(weights[0] or 0), int(weights[1] or 0)
        if attributes(node).get("group", 1) > 1 or channels < _FEW_CHANNELS:
            return self._as_picture(node)
        if node.output[0] in self._found.views:
            rows = self._op.Reshape(
                self.operands.windows(node),
                [-1, math.prod(int(extent or 0) for extent in weights[1:])],
            )
        else:
            rows = self.operands.of(node, node.input[0])
        turned = self._op.Transpose(node.input[1], perm=[*range(2, len(weights)), 1, 0])
        bias = node.input[2] if len(node.input) > 2 else None
        return self._op.Gemm(rows, self._op.Reshape(turned, [-1, made]), bias)

    def _greatest(self, node: NodeProto) -> str:
        return self._reduced(node, "ReduceMax")

    def _average(self, node: NodeProto) -> str:
        """A mean over all of a window, made one over what is to be counted."""
        view = self._found.views.get(node.output[0])
        found = self._reduced(node, "ReduceMean")
        ratio = np.ones(1) if view is None else counted(self._source, node, view)
        if (ratio == 1).all():
            return found
        places = self.operands.places(node.output[0])
        here = self._op.Gather(ratio.reshape(-1, 1), places, axis=0)
        return self._op.Mul(found, here)

    def _reduced(self, node: NodeProto, over_windows: str) -> str:
        if node.output[0] not in self._found.views:
            return self.operands.of(node, node.input[0])
        taps = math.prod(attributes(node)["kernel_shape"])
        each = self._op.Reshape(
            self.operands.windows(node), [-1, taps, self.operands.width(node.input[0])]
        )
        reduce = getattr(self._op, over_windows)
        return str(reduce(each, [1], keepdims=0))

    def _as_picture(self, node: NodeProto) -> str:
        """The operator itself, on what it reads with its axes in their order."""
        n, width = self._n, self.operands.width(node.input[0])
        slides = node.output[0] in self._found.views
        if slides:
            rows, extents = self.operands.pictures(node)
            pictures = self._op.Concat([-1], extents, [width], axis=0)
            shown = self._op.Reshape(rows, pictures)
        else:  # each position for itself: those of all windows in one line
            shown = self._op.Reshape(self.operands.of(node, node.input[0]), [1] * n + [-1, width])
        made = NodeProto()
        made.CopyFrom(node)
        del made.attribute[:]
        made.attribute.extend(a for a in node.attribute if a.name not in _PADDING)
        order = [0, n + 1, *range(1, n + 1)]
        made.input[0] = self._op.Transpose(shown, perm=order)
        back = self._op.Transpose(self._appended(node, made), perm=[0, *range(2, n + 2), 1])
        results = self._op.Reshape(back, [-1, self.operands.width(node.output[0])])
        return self._op.Gather(results, self.operands.inside(node), axis=0) if slides else results

    def _normalised(self, node: NodeProto) -> str:
        """BatchNormalization: a factor and a summand for each channel."""
        scale, shift, mean, variance = node.input[1:5]
        epsilon = np.float32(attributes(node).get("epsilon", 1e-5))
        factor = self._op.Div(scale, self._op.Sqrt(self._op.Add(variance, epsilon)))
        summand = self._op.Sub(shift, self._op.Mul(mean, factor))
        rest = (self._source.shape(node.input[0]) or ())[1:]
        repeats = self.operands.width(node.input[0]) // int(rest[0] or 1)
        ends = []
        for each in (factor, summand):
            column = self._op.Reshape(each, [-1, 1])
            spread = self._op.Expand(column, [1, repeats]) if repeats > 1 else column
            ends.append(self._op.Reshape(spread, [1, -1]))
        return self._op.Add(self._op.Mul(self.operands.of(node, node.input[0]), ends[0]), ends[1])

    def _joined(self, node: NodeProto) -> str:
        return self._op.Concat(*(self.operands.of(node, name) for name in node.input), axis=1)

    def _pointwise(self, node: NodeProto) -> str:
        made = NodeProto()
        made.CopyFrom(node)
        made.input[:] = [self.operands.of(node, name) for name in node.input]
        return self._appended(node, made)

    def _appended(self, node: NodeProto, made: NodeProto) -> str:
        made.name = made.output[0] = self._target.fresh(f"{node.output[0]}/patch")
        self._target.append(made)
        return made.output[0]
