"""What every program is built from: the prepared graph, and where its parts are."""

from dataclasses import dataclass
from typing import Literal

from candor.autodiff import Anatomy, Graph
from candor.errors import Unsupported
from candor.result import Kind

__all__ = ["Activation", "Blueprint", "explained_value"]

Activation = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A model ready for compilation. Never written to: programs start from `graph.copy()`.

    Attributes:
        graph: the prepared forward pass.
        anatomy: score, layers, embedding, CAM head.
        activation: what turns scores into probabilities; none: they are probabilities already.
        kind: what a row is.
        channel_axis: of a row, see `result.Geometry`.
        input: the graph input that is explained.
        embedding: the value that gradients are taken to, where the manifest names it.
    """

    graph: Graph
    anatomy: Anatomy
    activation: Activation
    kind: Kind
    channel_axis: int | None
    input: str
    embedding: str | None = None

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
