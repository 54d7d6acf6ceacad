"""Patches set into their surroundings: where, and from where, is given at run time, as indices.

Here a value is a matrix with a row for each position, whose entries are one piece of memory. What a
patch lacks is gathered from the value of the whole row and put below it; what reads both is told
which of these rows it wants. Source: the lowering of convolutions to products of matrices, Chetlur
et al. 2014, arXiv:1410.0759.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff import Emitter, Graph
from candor.result import Array
from candor.runtime.programs.indices import INDICES, LENGTHS, Given, Key
from candor.runtime.programs.reach import Boxes, Patch
from candor.runtime.programs.surroundings import Placed, Slide, lacking, ordered, rows_of

__all__ = ["Around", "Context", "Needed", "Splicer", "remember"]

_CONTEXT: Final = "candor.context/"

Needed = Callable[[Sequence[Boxes]], Boxes]
_Placed = Callable[[Sequence[Boxes]], Array]
_Counts = Callable[[Sequence[Boxes]], Array]


class Context(NamedTuple):
    """A value of the whole row, and what its reader pads it with."""

    value: str
    axes: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    fill: float = 0.0


class Around(NamedTuple):
    """A patch with what it lacks to be another box below it.

    Attributes:
        rows: the matrix.
        needed: the box, in positions that count the padding.
        begins: how many positions of padding these count before the first.
        placed: of all boxes, `Placed` as int64 [windows, 3 * axes].
    """

    rows: str
    needed: Needed
    begins: tuple[int, ...]
    placed: _Placed


class Splicer:
    """Appends the splicing to a graph, and notes what it is to be fed.

    Attributes:
        fed: the parts of the input of that name.
        contexts: the name of the input of each.
    """

    def __init__(self, source: Graph, graph: Graph) -> None:
        """Splice into `graph`; sizes are those of `source`."""
        self.fed: list[Given] = []
        self.contexts: dict[Context, str] = {}
        self._source, self._graph = source, graph
        self._op = Emitter(graph, "candor/splice")
        self._vectors: list[str] = []
        self._all = graph.add_input(INDICES, TensorProto.INT32, (None,))
        self._lengths = graph.add_input(LENGTHS, TensorProto.INT64, (None, None))

    def given(self, vector: Given) -> str:
        """A vector that is fed: its name."""
        self.fed.append(vector)
        name = self._graph.fresh(f"{INDICES}/{len(self._vectors)}")
        self._graph.declare(name, self._all)  # it has no producer before `finish`
        self._vectors.append(name)
        return name

    def finish(self) -> None:
        """Take the vectors apart; nothing can be spliced after it."""
        each = self._op.ReduceSum(self._lengths, [0], keepdims=0)
        parts = helper.make_node("Split", [self._all, each], self._vectors, name=INDICES)
        self._graph.append(parts)

    def around(self, patch: tuple[str, Patch], context: Context, needed: Needed) -> Around:
        """Put what a patch lacks below it.

        Args:
            patch: the matrix, and where that is.
            context: where the rest is.
            needed: the box, in positions that count the padding.
        """
        more, placed = self.lacking(patch[1], context, needed)
        rows = self._op.Concat(patch[0], more, axis=0)
        return Around(rows, needed, context.begins, placed)

    def lacking(self, patch: Patch, context: Context, needed: Needed) -> tuple[str, _Placed]:
        """What a patch lacks, as `around` puts it below it, and how it is placed."""
        box, axes = patch
        begins, extents = np.array(context.begins), self._padded(context)
        pitch = extents[-1]
        pitches = np.array([math.prod(extents[axis + 1 :]) for axis in range(len(axes))])

        def placed(boxes: Sequence[Boxes]) -> Array:
            (low, high), (first, last) = boxes[box], needed(boxes)
            return np.concatenate([high - low, low + begins - first, last - first], axis=1)

        def made(key: Key) -> Array:
            return lacking(Placed.of(key), pitch)

        def shift(boxes: Sequence[Boxes]) -> Array:
            found: Array = needed(boxes)[0] @ pitches
            return found

        rows = self._op.Gather(
            self._context(context), self.given(Given(placed, made, shift)), axis=0
        )
        return rows, placed

    def read(self, around: Around, wanted: Needed, slide: Slide) -> str:
        """The rows that windows read: of each window in turn, one for each entry of its kernel.

        Args:
            around: where they are.
            wanted: of all boxes: the first position that is read, counting the padding of what is
                read, and how many windows there are.
            slide: the windows.
        """

        def keys(boxes: Sequence[Boxes]) -> Array:
            first, results = wanted(boxes)
            start = first - around.needed(boxes)[0]
            return np.concatenate([around.placed(boxes), start, results], axis=1)

        def rows(boxes: Sequence[Boxes]) -> Array:
            return rows_of(around.placed(boxes))

        def made(key: Key) -> Array:
            n = len(slide.kernel)
            return ordered(Placed.of(key[: 3 * n]), key[3 * n : 4 * n], key[4 * n :], slide)

        return self._op.Gather(around.rows, self.given(Given(keys, made, rows=rows)), axis=0)

    def sums(self, rows: str, counts: _Counts) -> str:
        """The sum of each window's rows of a matrix, [windows, c]; `counts`: how many it has."""

        def one(boxes: Sequence[Boxes]) -> Array:
            return np.tile((1, 0), (len(boxes[0][0]), 1))  # each window's number is one more

        def keys(boxes: Sequence[Boxes]) -> Array:
            return counts(boxes)[:, None]

        numbers = self.given(Given(keys, lambda key: np.zeros(key, np.int32), rows=one))
        n = self._op.Cast(self.n_windows(), to=TensorProto.INT32)
        theirs = self._op.OneHot(numbers, n, np.array([0, 1], np.float32), axis=0)
        return self._op.MatMul(theirs, rows)

    def n_windows(self) -> str:
        """How many windows the run has, int64 [1]."""
        return self._op.Shape(self._lengths, start=0, end=1)

    def _padded(self, context: Context) -> tuple[int, ...]:
        shape = self._source.shape(context.value) or ()
        sides = zip(context.axes, context.begins, context.ends, strict=True)
        return tuple(int(shape[axis] or 0) + begin + end for axis, begin, end in sides)

    def _context(self, context: Context) -> str:
        if context not in self.contexts:
            shape = self._source.shape(context.value) or ()
            rest = [
                int(e or 0) for axis, e in enumerate(shape) if axis and axis not in context.axes
            ]
            name = f"{_CONTEXT}{len(self.contexts)}"
            extents = (math.prod(self._padded(context)), math.prod(rest))
            self.contexts[context] = self._graph.add_input(name, TensorProto.FLOAT, extents)
        return self.contexts[context]


def remember(graph: Graph, context: Context, name: str) -> None:
    """Give a context, as `Splicer` takes it, as an output of the graph that computes its value."""
    op = Emitter(graph, "candor/context")
    value = context.value
    if any((*context.begins, *context.ends)):
        margins = [*context.begins, *context.ends]
        value = op.Pad(value, margins, np.array(context.fill, np.float32), context.axes)
    shape = graph.shape(context.value) or ()
    order = (0, *context.axes, *(a for a in range(1, len(shape)) if a not in context.axes))
    if order != tuple(sorted(order)):
        value = op.Transpose(value, perm=order)
    rest = math.prod(int(shape[axis] or 0) for axis in order[1 + len(context.axes) :])
    graph.add_output(op.Reshape(value, [-1, rest]), name)
