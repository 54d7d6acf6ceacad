"""What ONNX Runtime must not be given: it would end the process, or quietly take it for another.

Seen with 1.31: LSTM and GRU without rows, GRU without steps, and one of its optimizations on a Cast
between Transpose and MatMul, its own casts of 16 bits included, end the process.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import GraphProto, TensorProto

from candor.autodiff.order import subgraphs
from candor.errors import InvalidInput
from candor.result import Array
from candor.runtime.vocabulary import known_ids, refuse_unknown_ids

__all__ = ["Hazards", "fatal_optimizations", "find_hazards", "has_recurrent", "refuse_empty"]

_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_HALVES = frozenset({TensorProto.BFLOAT16, TensorProto.FLOAT16})


@dataclass(frozen=True, slots=True)
class Hazards:
    """What to look out for in a model's tensors.

    Attributes:
        recurrent: whether tensors without elements are dangerous.
        ids: how many token ids an input knows.
    """

    recurrent: bool
    ids: Mapping[str, int]

    def refuse(self, tensors: Mapping[str, Array]) -> None:
        """Refuse what the model must not be given; raises InvalidInput."""
        if self.recurrent:
            refuse_empty(tensors)
        refuse_unknown_ids(tensors, self.ids)


def find_hazards(graph: GraphProto, vocabulary: Mapping[str, int]) -> Hazards:
    """Read off the graph what to look out for; `vocabulary` as in `vocabulary.known_ids`."""
    return Hazards(has_recurrent(graph), known_ids(graph, vocabulary))


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


def fatal_optimizations(graph: GraphProto) -> list[str]:
    """Name the optimizations that would end the process on this graph.

    On a Cast of a transposed value in front of a MatMul, this fusion leaves a node without an
    operator, over which the next optimization falls (microsoft/onnxruntime#28392). In graphs of 16
    bits the runtime itself casts wherever it has no kernel for them.
    """
    casts = _has_halves(graph)
    transposed: set[str] = set()
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in transposed:
            return ["MatmulTransposeFusion"]
        if node.op_type == "Transpose" or (
            node.op_type == "Identity" and node.input[0] in transposed
        ):
            if casts:
                return ["MatmulTransposeFusion"]
            transposed.update(node.output)
    return []


def _has_halves(graph: GraphProto) -> bool:
    """Whether an input or a weight has floats of 16 bits, or something is cast to them."""
    return (
        any(value.type.tensor_type.elem_type in _HALVES for value in graph.input)
        or any(weight.data_type in _HALVES for weight in graph.initializer)
        or any(
            attribute.i in _HALVES if attribute.name == "to" else attribute.t.data_type in _HALVES
            for node in graph.node
            if node.op_type in ("Cast", "Constant")
            for attribute in node.attribute
        )
    )
