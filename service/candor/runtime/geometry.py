"""How a row of a model's input is laid out: by the manifest, else by the graph's sizes."""

from collections import deque
from hashlib import sha256

from onnx import NodeProto

from candor.autodiff import Graph
from candor.autodiff.values import FLOATS
from candor.errors import Unsupported
from candor.result import Geometry, Kind
from candor.runtime.inputs import ImageInput, InputSection, SeriesInput, TabularInput, TokensInput
from candor.runtime.manifest import Manifest
from candor.runtime.tokens import Tokenizer

__all__ = ["geometry_of"]

# Sizes that a channel axis has in practice: gray, colour, colour with alpha.
_CHANNELS = frozenset({1, 3, 4})

_CHANNELS_SECOND = frozenset(
    {"AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose",
     "GroupNormalization", "InstanceNormalization", "LpPool", "MaxPool", "QLinearConv"}
)  # fmt: skip
_CHANNELS_THIRD = frozenset({"GRU", "LSTM", "RNN"})
_KEEPS_AXES = frozenset(
    {"Abs", "Add", "Cast", "Clip", "DequantizeLinear", "Div", "Dropout", "Exp", "Identity", "Log",
     "Max", "Min", "Mul", "Neg", "Pad", "Pow", "QuantizeLinear", "Relu", "Sigmoid", "Sqrt", "Sub",
     "Tanh", "Where"}
)  # fmt: skip

_KIND_BY_RANK: dict[int, Kind] = {4: "image", 3: "series", 2: "tabular"}


def geometry_of(
    graph: Graph, name: str, manifest: Manifest, tokenizer: Tokenizer | None
) -> Geometry:
    """Find out what the rows of an input are.

    Raises:
        Unsupported: an input of a form that no explanation is defined for.
    """
    kind = _declared(manifest.input) or _derived(graph, name)
    columns = manifest.input.columns if isinstance(manifest.input, TabularInput) else ()
    return Geometry(
        kind=kind,
        channel_axis=_channel_axis(graph, name, kind, manifest.input),
        pad=tokenizer.pad if tokenizer else 0 if kind == "tokens" else None,
        unknown=tokenizer.unknown if tokenizer else None,
        baseline=manifest.explain.baseline,
        features=manifest.input.features if isinstance(manifest.input, _NAMED) else (),
        columns=columns,
        columns_digest=sha256(repr(columns).encode()).hexdigest() if columns else "",
    )


_NAMED = (SeriesInput, TabularInput)

_KIND_BY_SECTION: dict[type[InputSection], Kind] = {
    ImageInput: "image",
    TokensInput: "tokens",
    SeriesInput: "series",
    TabularInput: "tabular",
}


def _declared(section: InputSection | None) -> Kind | None:
    return None if section is None else _KIND_BY_SECTION[type(section)]


def _derived(graph: Graph, name: str) -> Kind:
    rank = graph.rank(name) or 0
    if graph.dtype(name) not in FLOATS:
        if rank == 2:
            return "tokens"
    elif rank in _KIND_BY_RANK:
        return _KIND_BY_RANK[rank]
    raise Unsupported(
        f"input '{name}' has {rank} axes; pictures [n,c,h,w], series [n,t,f] (or "
        "[n,t], where the manifest says so), tables [n,f] and integer tokens [n,t] can be explained"
    )


def _channel_axis(graph: Graph, name: str, kind: Kind, section: InputSection | None) -> int | None:
    if kind in ("tokens", "tabular"):
        return None
    if isinstance(section, ImageInput) and section.layout is not None:
        return {"nchw": 0, "nhwc": 2}[section.layout]
    shape = graph.shape(name) or ()
    if kind == "series" and len(shape) == 2:
        return None  # a waveform: one number a step
    last = len(shape) - 2
    if kind == "image" and (shape[-1] in _CHANNELS) != (shape[1] in _CHANNELS):
        return last if shape[-1] in _CHANNELS else 0
    axis = _axis_of_features(graph, name, len(shape))
    if kind == "image":  # sizes that may be either: bands of a satellite, a picture 3 pixels wide
        return last if axis == len(shape) - 1 else 0
    return last if axis is None else axis - 1


def _axis_of_features(graph: Graph, name: str, rank: int) -> int | None:
    """The input's axis that the first layer with an opinion takes for channels; None: no such.

    What stands before that layer (a normalisation, a cast, padding) keeps the axes or reorders
    them; `axes` says for each axis of the value which one of the input it was.
    """
    waiting: deque[tuple[str, tuple[int | None, ...]]] = deque([(name, tuple(range(rank)))])
    seen = {name}
    while waiting:
        value, axes = waiting.popleft()
        for node in graph.consumers(value):
            if (at := _feature_axis(node)) is not None and node.input[0] == value:
                # 0 is the batch: rows folded into it leave nothing to read off
                return axes[at] or None if at < len(axes) else None
            moved = _moved(graph, node, axes)
            if moved is not None and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append((node.output[0], moved))
    return None


def _feature_axis(node: NodeProto) -> int | None:
    """Where an operator's specification puts the channels of its first operand."""
    if node.op_type in _CHANNELS_SECOND:
        return 1
    return 2 if node.op_type in _CHANNELS_THIRD else None


def _moved(
    graph: Graph, node: NodeProto, axes: tuple[int | None, ...]
) -> tuple[int | None, ...] | None:
    """The axes behind a node that keeps or reorders them; None behind any other."""
    if node.op_type in _KEEPS_AXES:
        return axes if graph.rank(node.output[0]) == len(axes) else None
    if node.op_type == "Transpose":
        order = next((a.ints for a in node.attribute if a.name == "perm"), None)
        return tuple(axes[at] for at in order) if order else axes[::-1]
    if node.op_type not in ("Squeeze", "Unsqueeze"):
        return None
    given = graph.constant(node.input[1]) if len(node.input) > 1 else None
    rank = graph.rank(node.output[0])
    if given is None or rank is None:
        return None
    if node.op_type == "Squeeze":
        gone = {int(at) % len(axes) for at in given.ravel()}
        return tuple(axis for at, axis in enumerate(axes) if at not in gone)
    new = {int(at) % rank for at in given.ravel()}
    rest = iter(axes)
    return tuple(None if at in new else next(rest) for at in range(rank))
