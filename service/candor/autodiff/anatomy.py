"""What a classifier's graph is made of: its scores, its inputs, its layers, its head.

Read off the structure of the graph alone, so that it holds for any exporter's names.
"""

from dataclasses import dataclass
from typing import Final

from onnx import NodeProto, TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph
from candor.autodiff.head import CamHead, cam_head
from candor.autodiff.layers import Layer, check_layer, layers_of, path_between, placed, preferred
from candor.autodiff.quantised import QUANTISERS, reading
from candor.autodiff.recurrent_layers import STATES, states_of
from candor.autodiff.rules.table import key
from candor.autodiff.values import FLOATS, spelled
from candor.errors import InvalidModel, NotFound

__all__ = ["Anatomy", "Layer", "anatomy"]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a classifier.

    `output` is the model's own output, `score` the value [n, k] before a final `activation`
    ('softmax', 'sigmoid' or 'none'; a LogSoftmax counts as softmax). `explained[i]` is the float
    value to differentiate at for the graph input `inputs[i]`: itself, or for token ids the output
    of their embedding. `layers` are in the order of the graph; `layer` is the one asked for, else
    the last with spatial extent that is not beside what is scored, else None. `cam_head` is None if
    an exact class activation map cannot be had, for the reason `cam_refusal`. `straight_through`
    says that values on the way are quantised, so that gradients are straight-through estimates
    instead of derivatives.
    """

    output: str
    score: str
    activation: str
    n_classes: int
    inputs: tuple[str, ...]
    explained: tuple[str, ...]
    layers: tuple[Layer, ...]
    layer: str | None
    cam_head: CamHead | None
    cam_refusal: str | None
    straight_through: bool = False


def anatomy(graph: Graph, output: str | None = None, layer: str | None = None) -> Anatomy:
    """Find the scores, inputs, layers and head of a classifier.

    The graph may get initialisers (a head's weights) and a reshaped score; nothing else changes.

    Raises:
        InvalidModel: if no output, or not the one asked for, is float [n, k].
        NotFound: if there is no such output or layer.
        Unsupported: if the layer asked for is no activation on the way to the scores.
    """
    chosen = _output(graph, output)
    score, activation = _score(graph, chosen)
    inputs = {name: value for name in graph.inputs if (value := _explained(graph, name))}
    path = path_between(graph, inputs.values(), score)
    layers = layers_of(graph, list(inputs.values()), path)
    layers = (
        *layers,
        *(
            Layer(value, graph.shape(value) or (), STATES)
            for value in states_of(graph, list(inputs.values()), path)
        ),
    )
    if layer is not None and layer not in {found.name for found in layers}:
        layers = (*layers, check_layer(graph, layer, path))
    head = placed(graph, cam_head(graph, score), list(inputs.values()))
    averaged = head.layer if isinstance(head, CamHead) else None
    return Anatomy(
        output=chosen,
        score=score,
        activation=activation,
        n_classes=_class_count(graph, chosen),
        inputs=tuple(inputs),
        explained=tuple(inputs.values()),
        layers=layers,
        layer=layer or preferred(graph, list(inputs.values()), path, layers, averaged),
        cam_head=head if isinstance(head, CamHead) else None,
        cam_refusal=None if isinstance(head, CamHead) else head,
        straight_through=any(
            key(node) in QUANTISERS and node.output[0] in path for node in graph.nodes
        ),
    )


# Scores


def _output(graph: Graph, name: str | None) -> str:
    if name is not None and name not in graph.outputs:
        raise NotFound(f"the model has no output '{name}'; it has {_listing(graph)}")
    for candidate in graph.outputs if name is None else [name]:
        if graph.dtype(candidate) in FLOATS and graph.rank(candidate) == 2:
            return candidate
    raise InvalidModel(
        f"not a classifier: no output is float [n, k]; the outputs are {_listing(graph)}"
        if name is None
        else f"output '{name}' is not float [n, k]; the outputs are {_listing(graph)}"
    )


def _listing(graph: Graph) -> str:
    kinds = {name: TensorProto.DataType.Name(graph.dtype(name)).lower() for name in graph.outputs}
    return ", ".join(f"'{n}' {kind} {spelled(graph.shape(n))}" for n, kind in kinds.items())


def _class_count(graph: Graph, output: str) -> int:
    count = (graph.shape(output) or (None, None))[1]
    if not isinstance(count, int):
        raise InvalidModel(
            f"output '{output}' {spelled(graph.shape(output))} has no fixed class count"
        )
    return count


def _score(graph: Graph, output: str) -> tuple[str, str]:
    """Walk back from the output to before its activation."""
    value = output
    while (node := graph.producer(value)) is not None and _changes_nothing(graph, node):
        value = node.input[0]
    if (logit := _two_sided(graph, node)) is not None:
        op = Emitter(graph, "score")
        return op.Concat(op.Neg(logit), logit, axis=1), "sigmoid"
    read = None if node is None else reading(node)
    op_type = read.op_type if read is not None else "" if node is None else node.op_type
    if node is None or op_type not in _ACTIVATIONS:
        return output, "none"
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), -1)
    rank = graph.rank(node.input[0])
    if rank is None or (op_type != "Sigmoid" and axis not in {1, 1 - rank}):
        return output, "none"
    op, score = Emitter(graph, "score"), node.input[0]
    if read is not None:
        score = op.DequantizeLinear(*node.input[:3])
    if rank != 2:
        score = op.Flatten(score, axis=1)
    return score, _ACTIVATIONS[op_type]


def _changes_nothing(graph: Graph, node: NodeProto) -> bool:
    """Tell whether a node renames, or makes the probabilities of a softmax sum to 1 once more."""
    if node.op_type != "Normalizer":
        return node.op_type in _RENAMING
    norm = next((a.s for a in node.attribute if a.name == "norm"), b"MAX")
    before = graph.producer(node.input[0])
    return norm == b"L1" and before is not None and before.op_type == "Softmax"


def _two_sided(graph: Graph, node: NodeProto | None) -> str | None:
    """Return z of [1 - sigmoid(z), sigmoid(z)], as scikit-learn's exporter writes two classes."""
    if node is None or node.op_type != "Concat" or len(node.input) != 2:
        return None
    less, more = (graph.producer(name) for name in node.input)
    if less is None or more is None or (less.op_type, more.op_type) != ("Sub", "Sigmoid"):
        return None
    one = graph.constant(less.input[0])
    matches = one is not None and (one == 1).all() and less.input[1] == more.output[0]
    single = (graph.shape(more.output[0]) or ())[1:] == (1,)
    return more.input[0] if matches and single else None


# Inputs


def _explained(graph: Graph, name: str) -> str | None:
    """Return the float value to differentiate at for an input; None if there is none."""
    embedded = _embedding(graph, name)
    if graph.dtype(name) in FLOATS:
        counted = all(graph.dtype(node.output[0]) not in FLOATS for node in graph.consumers(name))
        return embedded if embedded is not None and counted else name
    return embedded


def _embedding(graph: Graph, ids: str) -> str | None:
    for node in graph.consumers(ids):
        if node.op_type == "Gather" and node.input[1] == ids:
            table = graph.constant(node.input[0])
            if table is not None and graph.dtype(node.input[0]) in FLOATS:
                return node.output[0]
        elif node.op_type in _ID_CHANGES and node.input[0] == ids:
            found = _embedding(graph, node.output[0])
            if found is not None:
                return found
    return None


_RENAMING: Final = frozenset(
    "Cast DequantizeLinear Flatten Identity QuantizeLinear Reshape Squeeze".split()
)

_ACTIVATIONS: Final = {"LogSoftmax": "softmax", "Sigmoid": "sigmoid", "Softmax": "softmax"}

_ID_CHANGES: Final = frozenset(
    {"Cast", "Clip", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
