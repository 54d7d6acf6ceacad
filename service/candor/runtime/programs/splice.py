"""Patches set into their surroundings: where, and from where, is given at run time, as bounds.

Here positions come right after the rows, [1, ...positions, ...rest]: for pictures that is channels
last, where an entry of a position is one piece of memory. Between this and its blocked layout ONNX
Runtime copies once, as it does from channels second.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from onnx import TensorProto, helper

from candor.autodiff import Emitter, Graph
from candor.result import Array
from candor.runtime.programs.reach import Boxes, Patch

__all__ = ["BOUNDS", "Bound", "Context", "Splicer", "positions_first", "remember"]

BOUNDS: Final = "candor.bounds"
_CONTEXT: Final = "candor.context/"

Bound = Callable[[Sequence[Boxes]], list[Array]]
"""Of all boxes: ends of slices, int64 [windows, axes] each."""


class Context(NamedTuple):
    """A value of the whole row, and what its reader pads it with."""

    value: str
    axes: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    fill: float = 0.0


class Splicer:
    """Appends the splicing to a graph, and notes what it is to be fed.

    Attributes:
        bounds: in the order of the input of that name.
        contexts: the name of the input of each.
    """

    def __init__(self, graph: Graph, n_axes: int) -> None:
        self.bounds: list[Bound] = []
        self.contexts: dict[Context, str] = {}
        self._graph = graph
        self._op = Emitter(graph, "candor/splice")
        self._n = n_axes
        self._vectors: list[str] = []
        self._vector = graph.add_initializer(np.zeros(n_axes, np.int64), "candor.vector")

    def cut(self, value: str, axes: Sequence[int], bound: Bound) -> str:
        """The part of a value between two ends."""
        start, end = self._given(bound, 2)
        return self._op.Slice(value, start, end, axes)

    def spliced(
        self,
        patch: tuple[str, Patch],
        context: Context,
        needed: Callable[[Sequence[Boxes]], Boxes],
        *,
        crops: bool,
    ) -> str:
        """A patch brought to another box: what it lacks is taken from the context.

        Args:
            patch: what was computed, and where that is.
            context: where the rest is.
            needed: the box, in positions that count the padding.
            crops: whether the patch may reach beyond it.
        """
        name, (box, _) = patch
        begins = np.array(context.begins)

        def ends(boxes: Sequence[Boxes]) -> list[Array]:
            low, high = (end + begins for end in boxes[box])
            first, last = needed(boxes)
            kept, until = np.clip(low, first, last), np.clip(high, first, last)
            start = np.maximum(kept - low, 0)
            found = [start, start + until - kept] if crops else []
            return [*found, first, last, kept - first, until - first]

        axes = range(1, 1 + self._n)
        vectors = iter(self._given(ends, 6 if crops else 4))
        if crops:
            name = self._op.Slice(name, next(vectors), next(vectors), axes)
        around = self._op.Slice(self._context(context), next(vectors), next(vectors), axes)
        places = self._op.Slice(self._places(context), next(vectors), next(vectors), axes)
        return self._op.ScatterND(around, places, name)

    def finish(self) -> None:
        """Take the bounds apart; nothing can be spliced after it."""
        n = len(self._vectors)
        given = self._graph.add_input(BOUNDS, TensorProto.INT64, (n * self._n,))
        parts = helper.make_node("Split", [given], self._vectors, name=BOUNDS, num_outputs=n)
        self._graph.append(parts)

    def _given(self, bound: Bound, count: int) -> list[str]:
        self.bounds.append(bound)
        made = [self._graph.fresh(f"{BOUNDS}/{len(self._vectors)}") for _ in range(count)]
        for name in made:
            self._graph.declare(name, self._vector)  # it has no producer before `finish`
        self._vectors += made
        return made

    def _places(self, context: Context) -> str:
        """The index of each position of a context, int64 [1, ...positions, 1 + axes]."""
        shape = self._graph.shape(self._context(context)) or ()
        extents = [int(extent or 0) for extent in shape[: 1 + self._n]]
        return self._op.constant(np.moveaxis(np.indices(extents, dtype=np.int64), 0, -1))

    def _context(self, context: Context) -> str:
        if context not in self.contexts:
            shape = list(self._graph.shape(context.value) or ())
            for axis, begin, end in zip(context.axes, context.begins, context.ends, strict=True):
                shape[axis] = int(shape[axis] or 0) + begin + end
            turned = tuple(shape[axis] for axis in positions_first(context.axes, len(shape)))
            name = f"{_CONTEXT}{len(self.contexts)}"
            self.contexts[context] = self._graph.add_input(name, TensorProto.FLOAT, turned)
        return self.contexts[context]


def remember(graph: Graph, context: Context, name: str) -> None:
    """Give a context, as `Splicer` takes it, as an output of the graph that computes its value."""
    op = Emitter(graph, "candor/context")
    value = context.value
    if any((*context.begins, *context.ends)):
        margins = [*context.begins, *context.ends]
        value = op.Pad(value, margins, np.array(context.fill, np.float32), context.axes)
    order = positions_first(context.axes, graph.rank(context.value) or 0)
    if order != tuple(sorted(order)):
        value = op.Transpose(value, perm=order)
    graph.add_output(value, name)


def positions_first(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """The order of axes that brings the positions next to the rows."""
    return (0, *axes, *(axis for axis in range(1, rank) if axis not in axes))
