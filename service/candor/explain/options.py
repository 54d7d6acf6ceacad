"""The options of every method: one frozen value each, with the defaults of the public contract.

The table `METHODS` is the one place where a method's name meets its options, and each
field's `Spec` the one place where its range, choices and help stand; parsing, checking, the
documentation, the command line and the cache key are all read from them (`explain.parse`).
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from candor.explain.cam_options import (
    CAMS,
    Cam,
    CamOptions,
    GradCam,
    GradCamPlusPlus,
    HiresCam,
    LayerCam,
    XgradCam,
)
from candor.explain.gradient_options import Gradient, IntegratedGradients, SmoothGrad
from candor.explain.spec import BASELINE, SEED, Channels, Spec

__all__ = [
    "METHODS",
    "Cam",
    "CamOptions",
    "Channels",
    "Fill",
    "GradCam",
    "GradCamPlusPlus",
    "Gradient",
    "HiresCam",
    "IntegratedGradients",
    "LayerCam",
    "Lime",
    "Occlusion",
    "Options",
    "SegmentsKind",
    "SmoothGrad",
    "XgradCam",
]

SegmentsKind = Literal["auto", "slic", "quickshift", "grid", "change_points"]
Fill = Literal[
    "auto", "mean", "total_mean", "zero", "blur", "noise", "unknown", "padding", "training"
]


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
    baseline: float | None = field(default=None, metadata={"spec": BASELINE})
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

    `segments`: `slic`, `quickshift` or `grid` for images, `change_points` for series; tokens,
    features and equal slices of time else. `baseline` is one of `Fill` or a number in the model's
    input space; what a kind of input takes, and what `auto` is, says `explain.fills`. `seed` -1
    draws afresh each time.
    """

    n_samples: int = field(
        default=1000,
        metadata={
            "spec": Spec(
                "integer", "perturbations, the unperturbed input among them", low=2, high=100_000
            )
        },
    )
    tolerance: float | None = field(
        default=None,
        metadata={
            "spec": Spec(
                "number",
                "stop early when redrawn samples would change at most this share of the five "
                "leading segments; n_samples stays the most",
                low=0.0,
                high=1.0,
            )
        },
    )
    segments: SegmentsKind = field(
        default="auto",
        metadata={
            "spec": Spec(
                "choice",
                "how an image is cut (auto: slic), or a series (auto: equal slices; change_points: "
                "where it changes); single tokens and features else",
                choices=("auto", "slic", "quickshift", "grid", "change_points"),
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
    kernel_width: float | None = field(
        default=None,
        metadata={
            "spec": Spec(
                "number",
                "how fast the weight of a sample falls with its distance; default: 0.25 of the "
                "cosine distance; of drawn records 0.75 sqrt(f) of the Euclidean one",
                low=0.01,
                high=100.0,
            )
        },
    )
    baseline: Fill | float = field(
        default="auto",
        metadata={
            "spec": Spec(
                "choice or number",
                "what stands where a segment is absent (images, series: its mean, the whole "
                "channel's, zero, a blurred copy, noise; tokens: the unknown word, padding; "
                "tabular: as the training data had it, its mean there, zero), or a number in the "
                "model's input space, of tokens an id",
                choices=get_args(Fill),
                low=-1e6,
                high=1e6,
            )
        },
    )
    seed: int = field(default=0, metadata={"spec": SEED})
    discretise: bool = field(
        default=True,
        metadata={
            "spec": Spec(
                "flag",
                "whether numbers of a record are drawn from the training data and judged by their "
                "quartile (true), or by their value (false: a coefficient is of one deviation)",
            )
        },
    )
    channels: Channels = field(
        default="sum",
        metadata={
            "spec": Spec(
                "choice",
                "of a series: remove a slice of all channels together, or (keep) of each channel "
                "apart, with a value for each step and channel",
                choices=("sum", "keep"),
            )
        },
    )


Options: TypeAlias = CamOptions | Gradient | SmoothGrad | IntegratedGradients | Occlusion | Lime

METHODS: MappingProxyType[str, type[Options]] = MappingProxyType(
    {
        **dict[str, type[Options]](CAMS.items()),
        "gradient": Gradient,
        "smooth_grad": SmoothGrad,
        "integrated_gradients": IntegratedGradients,
        "occlusion": Occlusion,
        "lime": Lime,
    }
)
