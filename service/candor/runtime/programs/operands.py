"""What the operators of patches read: matrices, with what is round a patch where that is needed."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from onnx import NodeProto, TensorProto

from candor.autodiff import Emitter, Graph
from candor.result import Array
from candor.runtime.programs.indices import Given, Key
from candor.runtime.programs.reach import Boxes, Reach
from candor.runtime.programs.splice import Around, Context, Needed, Splicer
from candor.runtime.programs.surroundings import Slide, raster, rows_of

__all__ = ["Operands"]


class Operands:
    """Finds and makes them; each patch is noted when it is appended.

    Attributes:
        rows: of each patch its matrix: a row for each of its positions, in order.
        splicer: what the patches need of their surroundings.
    """

    def __init__(self, source: Graph, target: Graph, found: Reach) -> None:
        self.rows: dict[str, str] = {}
        self.splicer = Splicer(source, target)
        self._source, self._found = source, found
        self._op = Emitter(target, "candor/operand")
        self._surrounded: dict[str, Around] = {}
        self._n = len(next(iter(found.patches.values())).axes)
        self._single = Slide.of_one(self._n)

    def of(self, node: NodeProto, name: str) -> str:
        """A matrix for the positions of a node's result, or what is the same at all of them."""
        patch, box = self._found.patches.get(name), self._found.patches[node.output[0]].box
        if patch is None:
            return self._even(node, name)
        if patch.box == box:
            return self.rows[name]
        needed = self._box_of(node.output[0])
        around = self._cut_from_around(name, needed) or self._missing(name, needed)

        def wanted(boxes: Sequence[Boxes]) -> Boxes:
            return boxes[box][0] + np.array(around.begins), _counts(boxes[box])

        return self.splicer.read(around, wanted, self._single)

    def _even(self, node: NodeProto, name: str) -> str:
        """What is the same at all positions, as a row."""
        shape = self._source.shape(name) if name else ()
        if not shape:
            return name
        if math.prod(int(extent or 0) for extent in shape) == 1:
            return self._op.Reshape(name, [1])
        result = self._source.shape(node.output[0]) or ()
        axes = self._found.patches[node.output[0]].axes
        rest = [axis for axis in range(1, len(result)) if axis not in axes]
        full = [1] * (len(result) - len(shape)) + [int(extent or 0) for extent in shape]
        own = self._op.Reshape(name, [full[axis] for axis in rest])
        spread = self._op.Expand(own, [int(result[axis] or 0) for axis in rest])
        return self._op.Reshape(spread, [1, -1])

    def windows(self, node: NodeProto) -> str:
        """The rows that each window of a node reads, those of one window after the other's."""
        box, view = self._found.patches[node.output[0]].box, self._found.views[node.output[0]]
        around = self._around(node)
        begins = self._begins(node, around)
        slide = Slide(view.strides, view.kernel, view.dilations)

        def wanted(boxes: Sequence[Boxes]) -> Boxes:
            return begins(boxes), _counts(boxes[box])

        return self.splicer.read(around, wanted, slide)

    def pictures(self, node: NodeProto) -> tuple[str, str]:
        """All rows that a node's windows read, in their order, and how many there are an axis.

        They are as many of each window as of the widest: what is read beyond its box is of no use.
        """
        needed, around = self._read_by(node), self._around(node)
        begins = self._begins(node, around)

        def wanted(boxes: Sequence[Boxes]) -> Boxes:
            return begins(boxes), _widest(_counts(needed(boxes)))

        rows = self.splicer.read(around, wanted, self._single)
        extents = Given(lambda boxes: wanted(boxes)[1], lambda key: np.array(key, np.int32))
        of_first = self._op.Slice(self.splicer.given(extents), [0], [self._n])
        return rows, self._op.Cast(of_first, to=TensorProto.INT64)

    def inside(self, node: NodeProto) -> str:
        """The rows of use, where those of a node's results were made of `pictures`."""
        n, box = self._n, self._found.patches[node.output[0]].box

        def keys(boxes: Sequence[Boxes]) -> Array:
            counts = _counts(boxes[box])
            return np.concatenate([counts, _widest(counts)], axis=1)

        def made(key: Key) -> Array:
            return raster((0,) * n, key[:n], key[n:])

        def rows(boxes: Sequence[Boxes]) -> Array:
            each = np.prod(_widest(_counts(boxes[box])), axis=1)
            return np.stack([each, np.zeros_like(each)], axis=1)

        return self.splicer.given(Given(keys, made, rows=rows))

    def everywhere(self, value: str) -> str:
        """A row for each position of the whole value, with its patch set in."""
        every = self._everything(value)
        return self.splicer.read(self._missing(value, every), every, self._single)

    def sums(self, value: str) -> tuple[str, str]:
        """The sum over all positions in two parts: over the patch, and over what it lacks."""
        patch, every = self._found.patches[value], self._everything(value)
        more, placed = self.splicer.lacking(patch, self._plain(value), every)
        return (
            self.splicer.sums(self.rows[value], lambda boxes: rows_of(placed(boxes))[:, 0]),
            self.splicer.sums(more, lambda boxes: rows_of(placed(boxes))[:, 1]),
        )

    def _begins(self, node: NodeProto, around: Around) -> Callable[[Sequence[Boxes]], Array]:
        """Where a node begins to read, in positions of what is round its operand."""
        view, needed = self._found.views[node.output[0]], self._read_by(node)
        shift = np.array(around.begins) - view.begins
        return lambda boxes: needed(boxes)[0] + shift

    def _around(self, node: NodeProto) -> Around:
        """What a node's windows read, padding included."""
        key = node.output[0]
        if key not in self._surrounded:
            value, view, needed = node.input[0], self._found.views[key], self._read_by(node)
            made = None
            if max(view.spans) == 1 and not any(view.begins):
                made = self._cut_from_around(value, needed)
            if made is None:
                fill = -np.inf if node.op_type == "MaxPool" else 0.0
                ends = tuple(max(end, 0) for end in view.ends)
                patch = self._found.patches[value]
                context = Context(value, patch.axes, view.begins, ends, fill)
                made = self.splicer.around((self.rows[value], patch), context, needed)
            self._surrounded[key] = made
        return self._surrounded[key]

    def _missing(self, value: str, needed: Needed) -> Around:
        """A patch and what it lacks to be another box, which holds its own."""
        patch = self._found.patches[value]
        return self.splicer.around((self.rows[value], patch), self._plain(value), needed)

    def _plain(self, value: str) -> Context:
        none = (0,) * self._n
        return Context(value, self._found.patches[value].axes, none, none)

    def _cut_from_around(self, value: str, needed: Needed) -> Around | None:
        """What a convolution reads round a value, where that always holds a box of it."""
        first, last = needed(self._found.samples)
        for reader in self._source.consumers(value):
            view = self._found.views.get(reader.output[0])
            if view is None or max(view.spans) == 1 or reader.op_type != "Conv":
                continue
            around = self._around(reader)
            low, high = (end - around.begins for end in around.needed(self._found.samples))
            if (low <= first).all() and (last <= high).all():
                return around
        return None

    # Boxes

    def _box_of(self, value: str) -> Needed:
        box = self._found.patches[value].box
        return lambda boxes: boxes[box]

    def _everything(self, value: str) -> Needed:
        extents = np.array(self.extents(value))

        def every(boxes: Sequence[Boxes]) -> Boxes:
            n = len(boxes[0][0])
            return np.zeros((n, len(extents)), np.int64), np.tile(extents, (n, 1))

        return every

    def _read_by(self, node: NodeProto) -> Needed:
        """What a node's windows read, counting the padding."""
        view, box = self._found.views[node.output[0]], self._found.patches[node.output[0]].box
        return lambda boxes: view.read(*boxes[box])

    def places(self, value: str) -> str:
        """The rows of a patch's positions, in a matrix for all of them."""
        box, extents = self._found.patches[value].box, self.extents(value)

        def made(key: Key) -> Array:
            return raster(key[: len(extents)], key[len(extents) :], extents)

        return self.splicer.given(Given(lambda boxes: np.concatenate(boxes[box], axis=1), made))

    def extents(self, value: str) -> tuple[int, ...]:
        """How many positions the whole value has, an entry an axis."""
        shape = self._source.shape(value) or ()
        return tuple(int(shape[axis] or 0) for axis in self._found.patches[value].axes)

    def width(self, value: str) -> int:
        """How many values there are at a position."""
        shape = self._source.shape(value) or ()
        axes = self._found.patches[value].axes
        return math.prod(int(e or 0) for axis, e in enumerate(shape) if axis and axis not in axes)


def _counts(box: Boxes) -> Array:
    found: Array = box[1] - box[0]
    return found


def _widest(counts: Array) -> Array:
    """The largest of each axis, in place of all."""
    return np.broadcast_to(counts.max(axis=0), counts.shape)
