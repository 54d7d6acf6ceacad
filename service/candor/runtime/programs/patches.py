"""The operators of a model, appended once more for what a window can reach."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto

from candor.autodiff import Emitter, Graph
from candor.result import Array
from candor.runtime.programs.gradient import BASELINE
from candor.runtime.programs.reach import Boxes, Reach
from candor.runtime.programs.splice import Context, Splicer, positions_first
from candor.runtime.programs.views import View, counted

__all__ = ["Patches"]

_PADDING: Final = frozenset({"auto_pad", "ceil_mode", "count_include_pad", "pads"})
_WINDOWS: Final = frozenset({"AveragePool", "Conv", "MaxPool"})

_Needed = Callable[[Sequence[Boxes]], Boxes]


class Patches:
    """Appends to a graph, for each node whose result is a patch, one that computes the patch.

    A patch is held as its node writes it, or with its positions first, or both: each form is made
    of the other when it is first asked for.

    Attributes:
        splicer: what the patches need of their surroundings.
    """

    def __init__(self, source: Graph, target: Graph, found: Reach) -> None:
        self._source, self._target, self._found = source, target, found
        self.splicer = Splicer(target, len(next(iter(found.patches.values())).axes))
        self._op = Emitter(target, "candor/patch")
        self._plain: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._surrounded: dict[str, tuple[str, _Needed]] = {}

    def start(self, source: str) -> None:
        """Begin with the window itself, cut out of the baseline."""
        patch, shape = self._found.patches[source], self._source.shape(source) or ()
        baseline = self._target.add_input(BASELINE, TensorProto.FLOAT, shape)
        self._plain[source] = self.splicer.cut(baseline, patch.axes, lambda boxes: [*boxes[0]])

    def twin(self, node: NodeProto) -> None:
        """Append the node that computes the patch of a node's result."""
        made = NodeProto()
        made.CopyFrom(node)
        value = node.output[0]
        view = self._found.views.get(value)
        first = node.op_type not in _WINDOWS and self._goes_first(node)
        if view is None:
            made.input[:] = [self._operand(node, name, first=first) for name in node.input]
        else:
            around = self._turned_back(node.input[0], self._around(node)[0])
            made.input[:] = [around, *node.input[1:]]
        kept = [a for a in node.attribute if a.name not in _PADDING or node.op_type not in _WINDOWS]
        del made.attribute[:]
        made.attribute.extend(kept)
        if first:
            for attribute in made.attribute:
                if attribute.name == "axis":
                    rank = self._target.rank(value) or 0
                    attribute.i = self._order(value).index(attribute.i % rank)
        made.name = made.output[0] = self._target.fresh(f"{value}/patch")
        self._target.append(made)
        (self._first if first else self._plain)[value] = made.output[0]
        if node.op_type == "AveragePool" and view is not None:
            self._divide(node, view)

    def whole(self, value: str) -> str:
        """The value with its patch set in."""
        shape, axes = self._source.shape(value) or (), self._found.patches[value].axes
        extents = np.array([int(shape[axis] or 0) for axis in axes])

        def everything(boxes: Sequence[Boxes]) -> Boxes:
            return np.zeros_like(boxes[0][0]), np.broadcast_to(extents, boxes[0][0].shape)

        return self._turned_back(value, self._brought(value, everything))

    def _goes_first(self, node: NodeProto) -> bool:
        """Whether all operands are patches, and one comes with its positions first."""
        patches, box = self._found.patches, self._found.patches[node.output[0]].box
        if node.op_type == "Transpose" or not all(name in patches for name in node.input):
            return False
        return any(n not in self._plain or patches[n].box != box for n in node.input)

    def _operand(self, node: NodeProto, name: str, *, first: bool) -> str:
        patch, result = self._found.patches.get(name), self._found.patches[node.output[0]]
        if patch is None:
            return name
        if patch.box == result.box:
            return self._with_positions_first(name) if first else self._as_written(name)
        made = self._brought(name, lambda boxes: boxes[result.box])
        return made if first else self._turned_back(name, made)

    def _brought(self, value: str, needed: _Needed) -> str:
        """A patch in another box, which holds its own; positions first."""
        patch = self._found.patches[value]
        cut = self._cut_from_around(value, needed)
        if cut is not None:
            return cut
        none = (0,) * len(patch.axes)
        context = Context(value, patch.axes, none, none)
        found = (self._with_positions_first(value), patch)
        return self.splicer.spliced(found, context, needed, crops=False)

    def _around(self, node: NodeProto) -> tuple[str, _Needed]:
        """What a node's windows read, positions first, and where that is in the padded value."""
        key = node.output[0]
        if key not in self._surrounded:
            value, view = node.input[0], self._found.views[key]
            patch, box = self._found.patches[value], self._found.patches[key].box

            def needed(boxes: Sequence[Boxes]) -> Boxes:
                return view.read(*boxes[box])

            made = None
            if max(view.spans) == 1 and not any(view.begins):
                made = self._cut_from_around(value, needed)
            if made is None:
                fill = -np.inf if node.op_type == "MaxPool" else 0.0
                ends = tuple(max(end, 0) for end in view.ends)
                context = Context(value, patch.axes, view.begins, ends, fill)
                found = (self._with_positions_first(value), patch)
                made = self.splicer.spliced(found, context, needed, crops=view.skips)
            self._surrounded[key] = made, needed
        return self._surrounded[key]

    def _cut_from_around(self, value: str, needed: _Needed) -> str | None:
        """A box of a value from what a convolution reads round it, where that is always enough."""
        first, last = needed(self._found.samples)
        for reader in self._source.consumers(value):
            view = self._found.views.get(reader.output[0])
            if view is None or max(view.spans) == 1 or reader.op_type != "Conv":
                continue
            around, read = self._around(reader)
            begins = np.array(view.begins)
            low, high = read(self._found.samples)
            if not ((low <= first + begins).all() and (last + begins <= high).all()):
                continue

            def ends(
                boxes: Sequence[Boxes], read: _Needed = read, begins: Array = begins
            ) -> list[Array]:
                low, (first, last) = read(boxes)[0], needed(boxes)
                return [first + begins - low, last + begins - low]

            return self.splicer.cut(around, range(1, 1 + first.shape[1]), ends)
        return None

    def _divide(self, node: NodeProto, view: View) -> None:
        """Make a mean over all of a window one over what is to be counted."""
        ratio = counted(self._source, node, view)
        if (ratio == 1).all():
            return
        value = node.output[0]
        box, axes = self._found.patches[value]
        here = self.splicer.cut(self._op.constant(ratio), axes, lambda boxes: [*boxes[box]])
        self._plain[value] = self._op.Mul(self._plain[value], here)

    # Forms

    def _order(self, value: str) -> tuple[int, ...]:
        return positions_first(self._found.patches[value].axes, self._source.rank(value) or 0)

    def _with_positions_first(self, value: str) -> str:
        if value not in self._first:
            made, order = self._plain[value], self._order(value)
            turned = order != tuple(sorted(order))
            self._first[value] = self._op.Transpose(made, perm=order) if turned else made
        return self._first[value]

    def _as_written(self, value: str) -> str:
        if value not in self._plain:
            self._plain[value] = self._turned_back(value, self._first[value])
        return self._plain[value]

    def _turned_back(self, value: str, made: str) -> str:
        order = self._order(value)
        if order == tuple(sorted(order)):
            return made
        return self._op.Transpose(made, perm=np.argsort(order).tolist())
