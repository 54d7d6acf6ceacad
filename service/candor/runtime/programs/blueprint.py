"""What every program is built from: the prepared graph, and where its parts are."""

from dataclasses import dataclass
from typing import Literal

from candor.autodiff import Anatomy, Graph
from candor.errors import Unsupported
from candor.result import Geometry, Kind

__all__ = ["Activation", "Blueprint", "End", "explained_value", "nth"]

Activation = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class End:
    """One of several inputs that are explained.

    Attributes:
        input: its name.
        value: what gradients are taken to: itself, or the output of its embedding.
        width: of the embedding; None where there is none.
        geometry: of its rows.
        layers: that have its positions; known of a subject's, not of a blueprint's.
    """

    input: str
    value: str
    width: int | None
    geometry: Geometry
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A model ready for compilation. Never written to: programs start from `graph.copy()`.

    Attributes:
        graph: the prepared forward pass.
        anatomy: score, layers, embedding, CAM head.
        activation: what turns scores into probabilities; none: they are probabilities already.
        kind: what a row is.
        channel_axis: of a row, see `result.Geometry`.
        input: the graph input that is explained; of several the first.
        embedding: the value that gradients are taken to, where the manifest names it.
        ends: where scores depend on several inputs, those that are explained; else ().
        held: the others of these.
    """

    graph: Graph
    anatomy: Anatomy
    activation: Activation
    kind: Kind
    channel_axis: int | None
    input: str
    embedding: str | None = None
    ends: tuple[End, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The graph inputs that are explained."""
        return tuple(end.input for end in self.ends) or (self.input,)

    @property
    def values(self) -> tuple[str, ...]:
        """For each of `inputs` the value that gradients are taken to.

        Raises:
            Unsupported: as `explained`.
        """
        return tuple(end.value for end in self.ends) or (self.explained,)

    @property
    def explained(self) -> str:
        """The value that gradients are taken to: the input, or the embedding's output.

        Raises:
            Unsupported: there is no float value to differentiate at.
        """
        return explained_value(self.anatomy, self.input, self.embedding)


def explained_value(anatomy: Anatomy, input_name: str, embedding: str | None) -> str:
    """As `Blueprint.explained`, where the graph is not at hand."""
    if embedding is not None:
        return embedding
    if not anatomy.explained:
        raise Unsupported(
            f"input '{input_name}' holds integers and no embedding (Gather from a constant "
            "table) follows it, so there is nothing to take a gradient to"
        )
    return anatomy.explained[0]


def nth(name: str, position: int) -> str:
    """What is the same of each input, as it is called in a program: of the first by `name`."""
    return f"{name}.{position}" if position else name
