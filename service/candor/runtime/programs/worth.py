"""Whether recomputing is worth it: what both ways cost, counted from the graph.

One number stands for all machines: on CPUs it is the ratio that counts, and that is mostly one of
multiplications. What is spent beside them decides where networks are small.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from candor.autodiff import Graph
from candor.runtime.programs.reach import Boxes, Reach
from candor.runtime.programs.views import extents_of

__all__ = ["Cost", "costs_of", "multiplications"]

_NS_A_MULTIPLICATION: Final = 0.02
_NS_A_VALUE_MOVED: Final = 1.5
_NS_A_NODE: Final = 3_000
_NODES_A_SPLICE: Final = 6
_NS_A_RUN: Final = 100_000
"""Measured with ONNX Runtime 1.31 on one core of 2.5 GHz with AVX-512."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What a node takes, and where that is spent.

    Attributes:
        value: that it writes.
        multiplications, moved: how many there are, and how many values are set in.
        box: number and full size of the box; None: everywhere.
        slides: whether windows slide over a patch.
    """

    value: str
    multiplications: int
    moved: int
    box: tuple[int, int] | None
    slides: bool

    def ns(self, boxes: list[Boxes]) -> float:
        """About how long it takes, on the mean over the boxes of some windows."""
        share = 1.0
        if self.box is not None:
            low, high = boxes[self.box[0]]
            share = float(np.prod(high - low, axis=1).mean()) / self.box[1]
        return share * (
            self.multiplications * _NS_A_MULTIPLICATION + self.moved * _NS_A_VALUE_MOVED
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a row costs, whole and in part."""

    parts: tuple[_Part, ...]
    n_nodes: int
    n_splices: int

    @property
    def whole_ns(self) -> float:
        """About how long the whole takes."""
        n = sum(part.multiplications for part in self.parts)
        return n * _NS_A_MULTIPLICATION + self.n_nodes * _NS_A_NODE

    def part_ns(self, boxes: list[Boxes]) -> float:
        """About how long a window takes, on the mean over some."""
        n_nodes = self.n_nodes + self.n_splices * _NODES_A_SPLICE
        return _NS_A_RUN + n_nodes * _NS_A_NODE + sum(part.ns(boxes) for part in self.parts)

    def cuts(self, boxes: list[Boxes], most_ns: float) -> list[str]:
        """What begins each stage but the first, where a window should take no longer in one.

        A stage begins with a node that slides windows, hence reads by indices.
        """
        found: list[str] = []
        spent = 0.0
        for begin, ns in self._sections(boxes):
            if spent and spent + ns > most_ns:
                found.append(begin)
                spent = 0.0
            spent += ns
        return found

    def _sections(self, boxes: list[Boxes]) -> Iterator[tuple[str, float]]:
        """From one node that slides windows to before the next: the first, and how long."""
        begin, spent = "", 0.0
        for part in self.parts:
            if part.slides and spent:
                yield begin, spent
                begin, spent = part.value, 0.0
            spent += part.ns(boxes)
        yield begin, spent


def costs_of(graph: Graph, found: Reach) -> Cost:
    """Count."""
    parts = []
    for node in graph.nodes:
        value = node.output[0]
        n = multiplications(graph, value)
        moved = _size(graph, node.input[0]) if value in found.views else 0
        if n or moved:
            patch = found.patches.get(value)
            box = None
            if patch is not None:
                box = (patch.box, math.prod(extents_of(graph, value, patch.axes)))
            parts.append(_Part(value, n, moved, box, value in found.views))
    return Cost(tuple(parts), len(graph.nodes), len(found.views))


def multiplications(graph: Graph, value: str) -> int:
    """Of the node that writes a value, where it is a convolution or a product with weights."""
    node = graph.producer(value)
    if node is None or node.op_type not in {"Conv", "Gemm", "MatMul"}:
        return 0
    if node.op_type == "Conv":
        weights = graph.shape(node.input[1]) or ()
        return _size(graph, value) * math.prod(_ints(weights[1:]))
    operand = graph.shape(node.input[0]) or (1,)
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    return _size(graph, value) * math.prod(_ints([operand[0 if turned else -1]]))


def _size(graph: Graph, value: str) -> int:
    return math.prod(_ints(graph.shape(value) or ()))


def _ints(extents: Iterable[object]) -> list[int]:
    return [extent for extent in extents if isinstance(extent, int)]
