"""What the client returns: small frozen values with numpy arrays inside."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from candor.errors import NotFound
from candor.result import Array, CacheStatus, Json, ModelId, Target, View
from candor.sanity import Sanity

__all__ = [
    "Answer",
    "Drawing",
    "Estimate",
    "Explanation",
    "ModelInfo",
    "ModelSummary",
    "Prediction",
    "Progress",
    "RankedClass",
    "Row",
]


@dataclass(frozen=True, slots=True)
class RankedClass:
    """A class and how the model rates it; `label` is "" where the model has none."""

    index: int
    label: str
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a prediction: its five best classes, and what the server made of the input."""

    top: tuple[RankedClass, ...]
    view: View | None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says.

    Attributes:
        scores, probabilities: float32 [n, k]; None where the model is no classifier.
        outputs: outputs of the graph that were asked for.
    """

    model: ModelId
    rows: tuple[Row, ...]
    scores: Array | None
    probabilities: Array | None
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing of an answer, as a file.

    Attributes:
        media_type: `image/png`, `image/svg+xml` or `text/html`.
        content: of the file.
    """

    media_type: str
    content: bytes

    @property
    def suffix(self) -> str:
        """How names of such files end: `.png`."""
        return "." + self.media_type.rpartition("/")[2].removesuffix("+xml")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the file, and return where it is."""
        file = Path(path)
        file.write_bytes(self.content)
        return file


@dataclass(frozen=True, slots=True)
class Answer:
    """One row explained by one method for one target.

    Attributes:
        row, position: of the input, and of the target in the row's list.
        target: with its classes resolved.
        values: float32, aligned with the row.
        segments: int32, aligned with the row, from methods that group; else None.
        trust: how far to trust it, with the resolved options.
        cache: where the answer came from; None in a partial answer.
        complete: False where a budget cut the work short.
        not_explained: why the row did not meet `explain_if`, and every value is NaN; else "".
        overlay_png: the map on the picture; b"" unless asked for.
        drawing: of whatever was sent, the map on the picture too; None unless asked for.
        input_name: what `values` are aligned with, where several of the model's inputs are
            explained; else "".
    """

    method: str
    row: int
    position: int
    target: Target
    values: Array
    segments: Array | None
    trust: Mapping[str, Json]
    cache: CacheStatus | None
    cache_key: str
    complete: bool
    overlay_png: bytes
    drawing: Drawing | None = None
    not_explained: str = ""
    input_name: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction with its answers, by method in the order asked, input, row, then target."""

    prediction: Prediction
    answers: tuple[Answer, ...]
    timings_s: Mapping[str, float]

    def of(
        self, method: str, row: int = 0, position: int = 0, input_name: str | None = None
    ) -> Answer:
        """One of the answers; of a model with several explained inputs, None is the first of them.

        Raises:
            NotFound: it was not asked for.
        """
        for answer in self.answers:
            if (answer.method, answer.row, answer.position) == (method, row, position) and (
                input_name in (None, answer.input_name)
            ):
                return answer
        which = "" if input_name is None else f", input '{input_name}'"
        raise NotFound(f"there is no answer of {method} for row {row}, target {position}{which}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a method is with one row and target, 0 to 1, and what it has so far.

    Attributes:
        further: the maps of the model's other inputs, where several are explained.
    """

    method: str
    row: int
    position: int
    fraction: float
    partial: Answer | None
    further: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an explanation would cost."""

    model_calls: int
    milliseconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A line in the list of models; `reason` says why one is not ready."""

    id: ModelId
    state: str
    reason: str
    title: str
    kind: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Everything about one model.

    Attributes:
        inputs, outputs: (name, datatype, shape), -1 where any length goes.
        layers: shape by name, in the order of the graph.
        methods: None where a method can explain the model, else the reason why not.
        sanity: whether its maps depend on what it has learnt; None where that was never tested.
        sanity_stale: whether another file was tested than the one that is served.
        explained_inputs: of several, each has a map of its own.
    """

    id: ModelId
    title: str
    licence: str
    source: str
    kind: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    labels: tuple[str, ...]
    layers: Mapping[str, tuple[int, ...]]
    default_layer: str
    methods: Mapping[str, str | None]
    provider: str
    activation: str
    preprocessing: bool
    sanity: Sanity | None
    sanity_stale: bool
    explained_inputs: tuple[str, ...] = ()
