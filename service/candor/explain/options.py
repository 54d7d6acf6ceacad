"""The options of every method: one frozen value each, with the defaults of the public contract.

The table `METHODS` is the one place where a method's name meets its options, and each
field's `Spec` the one place where its range, choices and help stand; parsing, checking, the
documentation, the command line and the cache key are all read from them (`explain.parse`).
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from candor.explain.spec import Spec

__all__ = [
    "METHODS",
    "Cam",
    "Channels",
    "GradCam",
    "Gradient",
    "IntegratedGradients",
    "Lime",
    "Occlusion",
    "Options",
    "SegmentsKind",
]

Channels = Literal["sum", "keep"]
SegmentsKind = Literal["auto", "slic", "quickshift", "grid"]

_LAYER = Spec(
    "name", "value in the graph whose activation is mapped; default: the last with spatial extent"
)
_NORMALISE = Spec("flag", "map to 0..1 as pytorch-grad-cam does; false: the score's own units")
_CHANNELS = Spec(
    "choice",
    "sum over channels to one value per position, or keep one per channel of it",
    choices=("sum", "keep"),
)
_BASELINE = Spec(
    "number",
    "what stands for 'absent', in the model's input space (tokens: a token id); default: 0, or the "
    "padding token",
    low=-1e6,
    high=1e6,
)


@dataclass(frozen=True, slots=True)
class Cam:
    """Exact class activation map; only for global-average-pooling heads."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class GradCam:
    """Gradient-weighted class activation map."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class Gradient:
    """Derivative of the target with respect to the input."""

    reduction: Literal["abs", "signed", "squared"] = field(
        default="abs",
        metadata={
            "spec": Spec(
                "choice",
                "what each partial derivative becomes before channels are summed",
                choices=("abs", "signed", "squared"),
            )
        },
    )
    times_input: bool = field(
        default=False,
        metadata={"spec": Spec("flag", "multiply by the input (tokens: the embedding) first")},
    )
    channels: Channels = field(default="sum", metadata={"spec": _CHANNELS})


@dataclass(frozen=True, slots=True)
class IntegratedGradients:
    """Gradients integrated along the line from a baseline (Gauss-Legendre).

    With `tolerance` the number of steps doubles until the relative completeness gap is under it.
    """

    n_steps: int = field(
        default=50,
        metadata={
            "spec": Spec("integer", "points on the line from baseline to input", low=1, high=10_000)
        },
    )
    tolerance: float | None = field(
        default=None,
        metadata={
            "spec": Spec(
                "number",
                "double n_steps until the completeness gap, as a share of the target's change, is "
                "under this",
                low=1e-5,
                high=1.0,
            )
        },
    )
    baseline: float | None = field(default=None, metadata={"spec": _BASELINE})
    channels: Channels = field(default="sum", metadata={"spec": _CHANNELS})


@dataclass(frozen=True, slots=True)
class Occlusion:
    """What the target loses when a window is covered.

    `window` and `stride` have one number for each axis of a position (image: h, w), or one for all;
    empty: an eighth of each side, at least 1 (tokens and features: 1), with half of it as stride.
    """

    window: tuple[int, ...] = field(
        default=(),
        metadata={
            "spec": Spec(
                "integers",
                "side of the window, one number for all axes or one each ('8' or '8,8'); default: "
                "an eighth of each side",
                low=1,
                high=1_000_000,
                unit="positions",
            )
        },
    )
    stride: tuple[int, ...] = field(
        default=(),
        metadata={
            "spec": Spec(
                "integers",
                "step between windows, at most the window; default: half of the window",
                low=1,
                high=1_000_000,
                unit="positions",
            )
        },
    )
    baseline: float | None = field(default=None, metadata={"spec": _BASELINE})
    channels: Channels = field(
        default="sum",
        metadata={
            "spec": Spec(
                "choice",
                "a window covers all channels: one value per position, or (keep) the same value "
                "repeated for each channel of it",
                choices=("sum", "keep"),
            )
        },
    )


@dataclass(frozen=True, slots=True)
class Lime:
    """A local linear model over segments that are kept or removed.

    `segments`: `slic`, `quickshift` or `grid` for images; tokens, features and time slices else.
    `kernel_width` is in units of the cosine distance (0..1). `baseline` is `mean`, `zero`, `blur`
    or a number in the model's input space. `seed` -1 draws afresh each time.
    """

    n_samples: int = field(
        default=1000,
        metadata={
            "spec": Spec(
                "integer", "perturbations, the unperturbed input among them", low=2, high=100_000
            )
        },
    )
    segments: SegmentsKind = field(
        default="auto",
        metadata={
            "spec": Spec(
                "choice",
                "how an image is cut (auto: slic); tokens, features and time slices else",
                choices=("auto", "slic", "quickshift", "grid"),
            )
        },
    )
    n_segments: int = field(
        default=50,
        metadata={
            "spec": Spec(
                "integer", "about how many segments of an image or a series", low=2, high=2000
            )
        },
    )
    kernel_width: float = field(
        default=0.25,
        metadata={
            "spec": Spec(
                "number",
                "how fast the weight of a sample falls",
                low=0.01,
                high=100.0,
                unit="cosine distance",
            )
        },
    )
    baseline: Literal["mean", "zero", "blur"] | float = field(
        default="mean",
        metadata={
            "spec": Spec(
                "choice or number",
                "what stands where a segment is absent: its mean (series: each channel's mean over "
                "time), zero, a blurred copy or a number in the model's input space (tokens: the "
                "unknown word, padding, or a token id)",
                choices=("mean", "zero", "blur"),
                low=-1e6,
                high=1e6,
            )
        },
    )
    seed: int = field(
        default=0,
        metadata={
            "spec": Spec(
                "integer",
                "of the draws; -1 draws afresh, and the answer names the seed",
                low=-1,
                high=2**32 - 1,
            )
        },
    )


Options: TypeAlias = Cam | GradCam | Gradient | IntegratedGradients | Occlusion | Lime

METHODS: MappingProxyType[str, type[Options]] = MappingProxyType(
    {
        "cam": Cam,
        "grad_cam": GradCam,
        "gradient": Gradient,
        "integrated_gradients": IntegratedGradients,
        "occlusion": Occlusion,
        "lime": Lime,
    }
)
