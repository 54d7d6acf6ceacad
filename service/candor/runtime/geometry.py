"""How a row of a model's input is laid out: by the manifest, else by the graph's sizes."""

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

_KIND_BY_RANK: dict[int, Kind] = {4: "image", 3: "series", 2: "tabular"}


def geometry_of(
    graph: Graph, name: str, manifest: Manifest, tokenizer: Tokenizer | None
) -> Geometry:
    """Find out what the rows of an input are.

    Raises:
        Unsupported: an input of a form that no explanation is defined for.
    """
    kind = _declared(manifest.input) or _derived(graph, name)
    return Geometry(
        kind=kind,
        channel_axis=_channel_axis(graph, name, kind, manifest.input),
        pad=tokenizer.pad if tokenizer else 0 if kind == "tokens" else None,
        unknown=tokenizer.unknown if tokenizer else None,
        baseline=manifest.explain.baseline,
    )


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
        f"input '{name}' has {rank} axes; pictures [n,c,h,w], series [n,t,f], tables [n,f] and "
        "integer tokens [n,t] can be explained"
    )


def _channel_axis(graph: Graph, name: str, kind: Kind, section: InputSection | None) -> int | None:
    if kind in ("tokens", "tabular"):
        return None
    if isinstance(section, ImageInput) and section.layout is not None:
        return {"nchw": 0, "nhwc": 2}[section.layout]
    shape = graph.shape(name) or ()
    last = len(shape) - 2
    if kind == "image":
        return last if shape[-1] in _CHANNELS and shape[1] not in _CHANNELS else 0
    # A series that goes straight into a convolution is [n, channels, t], as convolutions want it.
    convolved = any(node.op_type == "Conv" for node in graph.consumers(name))
    return 0 if convolved else last
