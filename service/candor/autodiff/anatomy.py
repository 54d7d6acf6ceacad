"""What a classifier's graph is made of: its scores, its inputs, its layers, its head.

Read off the structure of the graph alone, so that it holds for any exporter's names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from onnx import NodeProto, TensorProto

from candor.autodiff.emitter import Emitter
from candor.autodiff.graph import Graph
from candor.autodiff.head import CamHead, cam_head
from candor.autodiff.order import operands
from candor.autodiff.values import FLOATS, Shape
from candor.errors import InvalidModel, NotFound, Unsupported

__all__ = ["Anatomy", "Layer", "anatomy"]


class Layer(NamedTuple):
    """A value whose activation a class activation map can weigh: [n, c, *spatial]."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a classifier.

    `output` is the model's own output, `score` the value [n, k] before a final `activation`
    ('softmax', 'sigmoid' or 'none'; a LogSoftmax counts as softmax). `explained[i]` is the float
    value to differentiate at for the graph input `inputs[i]`: itself, or for token ids the output
    of their embedding. `layers` are in the order of the graph; `layer` is the one asked for, else
    the last with spatial extent, else None. `cam_head` is None if an exact class activation map
    cannot be had, for the reason `cam_refusal`. `straight_through` says that values on the way are
    quantised, so that gradients are straight-through estimates instead of derivatives.
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
    path = _path(graph, inputs.values(), score)
    layers = _layers(graph, path)
    if layer is not None and layer not in {found.name for found in layers}:
        _check_layer(graph, layer, path)
    head = cam_head(graph, score)
    return Anatomy(
        output=chosen,
        score=score,
        activation=activation,
        n_classes=_class_count(graph, chosen),
        inputs=tuple(inputs),
        explained=tuple(inputs.values()),
        layers=layers,
        layer=layer or (layers[-1].name if layers else None),
        cam_head=head if isinstance(head, CamHead) else None,
        cam_refusal=None if isinstance(head, CamHead) else head,
        straight_through=any(
            node.op_type == "QuantizeLinear" and node.output[0] in path for node in graph.nodes
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
    return ", ".join(
        f"'{name}' {TensorProto.DataType.Name(graph.dtype(name)).lower()} {_written(graph, name)}"
        for name in graph.outputs
    )


def _written(graph: Graph, value: str) -> str:
    shape = graph.shape(value)
    if shape is None:
        return "of unknown rank"
    return "[" + ", ".join("?" if extent is None else str(extent) for extent in shape) + "]"


def _class_count(graph: Graph, output: str) -> int:
    count = (graph.shape(output) or (None, None))[1]
    if not isinstance(count, int):
        raise InvalidModel(f"output '{output}' {_written(graph, output)} has no fixed class count")
    return count


def _score(graph: Graph, output: str) -> tuple[str, str]:
    """Walk back from the output to before its activation."""
    value = output
    while (node := graph.producer(value)) is not None and node.op_type in _RENAMING:
        value = node.input[0]
    if node is None or node.op_type not in _ACTIVATIONS:
        return output, "none"
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), -1)
    rank = graph.rank(node.input[0])
    if rank is None or (node.op_type != "Sigmoid" and axis not in {1, 1 - rank}):
        return output, "none"
    score = node.input[0]
    if rank != 2:
        score = Emitter(graph, "score").Flatten(score, axis=1)
    return score, _ACTIVATIONS[node.op_type]


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


# Layers


def _path(graph: Graph, sources: Iterable[str], score: str) -> set[str]:
    """Return the values that depend on a source and that the score depends on."""
    reached = set(sources)
    for node in graph.nodes:
        if not reached.isdisjoint(operands(node)):
            reached.update(node.output)
    needed = {score}
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.output):
            needed.update(operands(node))
    return reached & needed


def _layers(graph: Graph, path: set[str]) -> tuple[Layer, ...]:
    spatial: set[str] = set()
    found = []
    for node in graph.nodes:
        value = node.output[0]
        if value not in path or not _keeps_space(graph, node, spatial):
            continue
        spatial.add(value)
        shape = graph.shape(value)
        named = node.op_type not in {"Identity", "Squeeze", "Unsqueeze"}  # aliases of a layer
        if named and shape is not None and any(extent != 1 for extent in shape[2:]):
            found.append(Layer(value, shape))
    return tuple(found)


def _keeps_space(graph: Graph, node: NodeProto, spatial: set[str]) -> bool:
    """Tell whether a node writes [n, c, *spatial]: windows do, what follows element-wise too."""
    if node.op_type in _WINDOWS:
        return True
    if node.op_type in {"Squeeze", "Unsqueeze"} and node.input[0] in spatial:
        axes = graph.constant(node.input[1]) if len(node.input) > 1 else None
        ranks = graph.rank(node.input[0]), graph.rank(node.output[0])
        return axes is not None and all(
            min(axis % (max(filter(None, ranks), default=1)), 2) == 2 for axis in axes.reshape(-1)
        )
    return node.op_type in _POINTWISE and not spatial.isdisjoint(node.input)


def _check_layer(graph: Graph, layer: str, path: set[str]) -> None:
    if not graph.known(layer):
        raise NotFound(f"the model has no layer '{layer}'")
    if layer not in path or graph.dtype(layer) not in FLOATS or (graph.rank(layer) or 0) < 3:
        raise Unsupported(
            f"'{layer}' {_written(graph, layer)} is not an activation map on the way to the scores"
        )


_RENAMING: Final = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze"})

_ACTIVATIONS: Final = {"LogSoftmax": "softmax", "Sigmoid": "sigmoid", "Softmax": "softmax"}

_ID_CHANGES: Final = frozenset(
    {"Cast", "Clip", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)

_WINDOWS: Final = frozenset({"AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool"})

_POINTWISE: Final = frozenset(
    "Add BatchNormalization Celu Clip Concat Div Dropout Elu Gelu GroupNormalization HardSigmoid "
    "HardSwish Identity InstanceNormalization LRN LeakyRelu Max Mish Mul PRelu Pow Relu Resize "
    "Selu Shrink Sigmoid Softplus Softsign Sub Sum Swish Tanh ThresholdedRelu".split()
)
