"""A program cut into stages, so that whoever runs it can look at the clock in between.

What one stage makes and a later one reads is handed over; what is made of constants and of other
inputs alone is made again where it is read. So no weight is in two stages unless both need it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from onnx import NodeProto

from candor.autodiff import Graph, Program
from candor.autodiff.assemble import closure

__all__ = ["HANDED", "Draft", "staged"]

HANDED: Final = "candor.handed/"
"""Before the name of a value, where it is an input."""


class Draft(NamedTuple):
    """A program to be: a graph, which shares its weights with others, and what it is to compute."""

    graph: Graph
    outputs: tuple[str, ...]

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the inputs that it needs."""
        _, needed = closure(self.graph.nodes, self.outputs)
        return tuple(name for name in self.graph.inputs if name in needed)

    def made(self) -> Program:
        """The program.

        Raises:
            InvalidModel: it breaks ONNX's rules.
        """
        return self.graph.apart(self.outputs)


def staged(graph: Graph, source: str, ends: Sequence[str], outputs: Sequence[str]) -> list[Draft]:
    """Cut a graph; all that a stage writes is to be given to those after it.

    Args:
        graph: is left as it is.
        source: the input whose consequences are handed over.
        ends: what each stage but the last writes at its end, in order.
        outputs: of the last stage.
    """
    nodes = graph.nodes
    cuts = sorted({1 + number for number, node in enumerate(nodes) if {*ends} & {*node.output}})
    moved = _moved(nodes, source)
    stages = []
    for begin, end in pairwise([0, *cuts, len(nodes)]):
        part = graph.copy()
        for value in _crossing(nodes, begin, moved):
            shape = graph.shape(value) or ()
            given = part.add_input(HANDED + value, graph.dtype(value), shape)
            part.replace_uses(value, given)
        written = {name for node in nodes[begin:end] for name in node.output}
        handed = [value for value in _crossing(nodes, end, moved) if value in written]
        stages.append(Draft(part, tuple(handed or outputs)))
    return stages


def _moved(nodes: Sequence[NodeProto], source: str) -> set[str]:
    """What depends on an input."""
    moved = {source}
    for node in nodes:
        if not moved.isdisjoint(node.input):
            moved.update(node.output)
    return moved


def _crossing(nodes: Sequence[NodeProto], at: int, moved: set[str]) -> list[str]:
    """What is written before a place and read after it."""
    read = {name for node in nodes[at:] for name in node.input}
    before = [name for node in nodes[:at] for name in node.output]
    return [name for name in before if name in read and name in moved]
