"""Which of a model's several inputs are explained, and which are held as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from onnx import TensorProto

from candor.autodiff import Anatomy, Graph
from candor.autodiff.layers import path_between
from candor.errors import Unsupported
from candor.runtime.geometry import geometry_of
from candor.runtime.manifest import Manifest
from candor.runtime.programs.blueprint import End
from candor.runtime.tokens import Tokenizer

__all__ = ["Ends", "ends_of"]


class Ends(NamedTuple):
    """The inputs that the scores depend on.

    Attributes:
        explained: those that are float, or ids with an embedding, in the order of the graph.
        held: the others.
    """

    explained: tuple[End, ...]
    held: tuple[str, ...]


def ends_of(
    graph: Graph,
    found: Anatomy,
    manifest: Manifest,
    tokenizer: Tokenizer | None,
    known: Mapping[str, int],
) -> Ends:
    """Tell the inputs of a graph of several apart.

    What the manifest says of its input it says of the one that it names. `known` tells of inputs
    that hold token ids how many there are (`vocabulary.known_ids`).

    Raises:
        Unsupported: none can be explained, or one is of a form that no row can have; or the
            manifest names an embedding, as that of a model with one input may.
    """
    if manifest.explain.embedding is not None:
        raise Unsupported(
            f"explain.embedding in model.toml is for models with one input, this one has "
            f"{len(graph.inputs)}; leave it out"
        )
    mattering = [
        name for name in graph.inputs if found.score in path_between(graph, [name], found.score)
    ]
    for name in mattering:
        _check_rows(graph, name, mattering)
    values = dict(zip(found.inputs, found.explained, strict=True))
    explained = [
        _end(graph, name, values[name], _manifest_of(name, manifest), tokenizer, known.get(name))
        for name in mattering
        if name in values
    ]
    if not explained:
        raise Unsupported(
            f"none of the inputs {', '.join(mattering) or '(none)'} is float, or holds token ids "
            "that an embedding (Gather from a constant table) follows"
        )
    held = tuple(name for name in mattering if name not in values)
    return Ends(tuple(explained), held)


def _manifest_of(name: str, manifest: Manifest) -> Manifest:
    """What the manifest says where an input is concerned."""
    section = manifest.input
    meant = section is not None and section.name == name
    return manifest if meant else replace(manifest, input=None)


def _end(
    graph: Graph,
    name: str,
    value: str,
    manifest: Manifest,
    tokenizer: Tokenizer | None,
    n_ids: int | None,
) -> End:
    geometry = geometry_of(graph, name, manifest, tokenizer if manifest.input else None)
    if value == name:
        return End(name, value, None, geometry)
    return End(name, value, _width(graph, name, value), replace(geometry, n_ids=n_ids))


def _width(graph: Graph, name: str, value: str) -> int:
    shape = graph.shape(value) or ()
    rank = graph.rank(name) or 0
    if len(shape) != rank + 1 or not isinstance(shape[-1], int):
        raise Unsupported(
            f"the embedding '{value}' of input '{name}' has not one vector for each token"
        )
    return shape[-1]


def _check_rows(graph: Graph, name: str, others: Sequence[str]) -> None:
    """Refuse an input whose first axis does not count the rows, and one that holds texts."""
    if graph.dtype(name) == TensorProto.STRING:
        raise Unsupported(f"input '{name}' holds texts, which cannot stand in a row of numbers")
    first = (graph.shape(name) or ("",))[0]
    rows = {(graph.shape(other) or ("",))[0] for other in others}
    free = first is None or (isinstance(first, str) and first != "")
    if not free and (len(rows) > 1 or first == ""):
        raise Unsupported(
            f"input '{name}' has no axis for the rows, so that it is not known which of its values "
            "a row has; models whose inputs all begin with the rows can be explained"
        )
