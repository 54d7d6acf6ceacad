"""The options of every method: one frozen value each, with the defaults of the public contract.

The table `METHODS` is the one place where a method's name meets its options, and each
field's `Spec` the one place where its range, choices and help stand; parsing, checking, the
documentation, the command line and the cache key are all read from them (`explain.parse`).
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

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
    features and equal slices of time else. `kernel_width` is in units of the cosine distance
    (0..1). `baseline` is `mean`, `zero`, `blur`, `noise` or a number in the model's input space.
    `seed` -1 draws afresh each time.
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
    baseline: Literal["mean", "zero", "blur", "noise"] | float = field(
        default="mean",
        metadata={
            "spec": Spec(
                "choice or number",
                "what stands where a segment is absent: its mean (series: each channel's mean over "
                "time), zero, a blurred copy, noise in each channel's range, or a number in the "
                "model's input space (tokens: the unknown word, padding, or a token id)",
                choices=("mean", "zero", "blur", "noise"),
                low=-1e6,
                high=1e6,
            )
        },
    )
    seed: int = field(default=0, metadata={"spec": SEED})


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
