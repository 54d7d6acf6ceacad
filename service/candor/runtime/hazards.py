"""What ONNX Runtime must not be given, because it ends the process instead of failing the run.

Seen with 1.31: LSTM and GRU without rows, GRU without steps.
"""

from collections.abc import Mapping

from onnx import GraphProto

from candor.autodiff.order import subgraphs
from candor.errors import InvalidInput
from candor.result import Array

__all__ = ["has_recurrent", "refuse_empty"]

_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def has_recurrent(graph: GraphProto) -> bool:
    """Whether a recurrent layer stands anywhere in the graph."""
    return any(
        node.op_type in _RECURRENT or any(map(has_recurrent, subgraphs(node)))
        for node in graph.node
    )


def refuse_empty(tensors: Mapping[str, Array]) -> None:
    """Refuse tensors without elements.

    Raises:
        InvalidInput: one of them is empty.
    """
    for name, array in tensors.items():
        if array.size == 0:
            raise InvalidInput(
                f"input '{name}' has shape {list(array.shape)}; a model with recurrent layers "
                "needs at least one row and one step"
            )
