"""The values that travel through the house: frozen, arrays inside, no behaviour worth testing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from candor.geometry import Geometry, Kind

__all__ = [
    "Array",
    "Attribution",
    "CacheStatus",
    "CamFormula",
    "Encoded",
    "Explained",
    "Geometry",
    "GradientRun",
    "ImageView",
    "Images",
    "Json",
    "Kind",
    "ModelId",
    "NoisyRun",
    "PathRun",
    "Payload",
    "Scores",
    "Target",
    "Tensors",
    "TextView",
    "Texts",
    "TrustLevel",
    "View",
]

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Explained = Literal["score", "probability"]
"""What an explanation explains: the value before the softmax (or sigmoid), or the one after."""

TrustLevel = Literal["basic", "full"]
"""The figures that a method affords, or all that can be measured of its answer."""

CacheStatus = Literal["hit", "miss", "coalesced", "bypass"]


@dataclass(frozen=True, slots=True)
class ModelId:
    """Which model answered; the digest is of the ONNX bytes and their external data."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model says of n rows and k classes.

    Attributes:
        score: float32 [n, k], before softmax or sigmoid.
        probability: float32 [n, k], after it.
    """

    score: Array
    probability: Array


@dataclass(frozen=True, slots=True)
class Target:
    """What is explained: a class, a difference of two, or (both None) each row's top class.

    Attributes:
        plus: the class that speaks for the target; None for the row's top class.
        minus: the class that it is compared with: "why this rather than that".
    """

    plus: int | None = None
    minus: int | None = None


# What the caller sent, before preprocessing -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tensors:
    """The model's own inputs by name, ready to run."""

    by_name: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Images:
    """Encoded pictures (JPEG, PNG, WebP), one a row."""

    encoded: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    """Sentences, one a row."""

    texts: tuple[str, ...]


Payload: TypeAlias = Tensors | Images | Texts


@dataclass(frozen=True, slots=True)
class ImageView:
    """Where the model looked on the caller's picture.

    Attributes:
        width, height: of the picture that the caller sent, in its pixels, after EXIF rotation.
        box: left, top, right, bottom of the part that became the model's input, in those pixels;
            it reaches outside the picture where the preprocessing padded.
    """

    width: int
    height: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TextView:
    """The tokens that the model saw, and where each stands in the caller's text.

    Attributes:
        tokens: as cut from the text, in order.
        offsets: [start, end) of each token, in characters of the text.
        known: whether the vocabulary holds the token.
    """

    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    known: tuple[bool, ...]


View: TypeAlias = ImageView | TextView


@dataclass(frozen=True, slots=True)
class Encoded:
    """A payload after preprocessing.

    Attributes:
        tensors: the model's inputs, n rows.
        views: of each row; None for tensors.
        lengths: of each row along its first axis, where the rest is padding to the longest row
            and the model would take the row without it; else ().
    """

    tensors: Mapping[str, Array]
    views: tuple[View | None, ...]
    lengths: tuple[int, ...] = ()


# What a model does for an explanation -------------------------------------------------------

CamFormula = Literal["cam", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam"]


@dataclass(frozen=True, slots=True)
class GradientRun:
    """One run forward and back.

    Attributes:
        scores: of the same run.
        gradient: float32, d(direction . explained) / d(explained value), [n, ...].
        value: the explained value itself, same shape (the input, or the embedding's output).
    """

    scores: Scores
    gradient: Array
    value: Array


@dataclass(frozen=True, slots=True)
class NoisyRun:
    """Runs at one row with noise added to its explained value, m of them at once.

    Attributes:
        scores: of the m runs.
        gradient: float32 [m, ...], of each run, to the explained value.
    """

    scores: Scores
    gradient: Array


@dataclass(frozen=True, slots=True)
class PathRun:
    """Runs along the straight line from a baseline to one row, m points at once.

    Attributes:
        scores: of the m points.
        gradient: float32 [m, ...], at each point, to the explained value.
        displacement: float32 [...]: explained value of the row minus that of the baseline.
    """

    scores: Scores
    gradient: Array
    displacement: Array


# What comes back -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribution:
    """One row explained by one method for one target.

    Attributes:
        method: `grad_cam`, `lime`, ...
        values: float32, aligned with the row: image [h, w], tokens [t], series [t] or [t, f],
            tabular [f]; with `channels=keep` the shape of what was differentiated.
        trust: the trust record: resolved options, target, figures, warnings (design: JSON object).
        segments: int32, aligned with the row, for methods that group positions; else None.
        input: what the map is of, where the model has several inputs that are explained; else "".
        others: of the same answer, the maps of its other inputs; none of them has others.
    """

    method: str
    values: Array
    trust: Mapping[str, Json]
    segments: Array | None = field(default=None)
    input: str = ""
    others: tuple["Attribution", ...] = ()

    @property
    def maps(self) -> tuple["Attribution", ...]:
        """Each of the maps by itself."""
        return (replace(self, others=()), *self.others) if self.others else (self,)
