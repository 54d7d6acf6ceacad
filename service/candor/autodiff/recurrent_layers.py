"""The states of layers that run over time, as layers that a class activation map can weigh."""

from collections.abc import Iterator, Sequence
from typing import Final

from candor.autodiff.graph import Graph
from candor.autodiff.layout import Layout
from candor.autodiff.values import FLOATS

__all__ = ["STATES", "states_of"]

_RECURRENT: Final = frozenset({"GRU", "LSTM", "RNN"})

STATES: Final = Layout(batch=2, channel=3, spatial=(0,))
"""Of the states of all steps, [t, directions, n, h]; the channels are those of all directions."""


def states_of(graph: Graph, explained: Sequence[str], path: set[str]) -> Iterator[str]:
    """Name the states, on a path, of layers with a step for each position of the input.

    Their slope is the total derivative, through all later steps: of what a layer gives out at a
    step alone, the last step's would be all there is where the last step is read.
    """
    steps = {(graph.shape(value) or (None, None))[1:2] for value in explained}
    for node in graph.nodes:
        value = node.output[0]
        shape = graph.shape(value) or ()
        if (
            node.op_type in _RECURRENT
            and not node.domain
            and value in path
            and shape[:1] in steps
            and graph.dtype(value) in FLOATS
            and all(isinstance(extent, int) for extent in (shape[1], shape[3]))
            and not any(a.name == "layout" and a.i for a in node.attribute)
        ):
            yield value
