"""The options of the methods that take gradients to the input."""

from dataclasses import dataclass, field

from candor.explain.spec import BASELINE, CHANNELS, REDUCTION, SEED, Channels, Reduction, Spec

__all__ = ["Gradient", "IntegratedGradients", "SmoothGrad"]


@dataclass(frozen=True, slots=True)
class Gradient:
    """Derivative of the target with respect to the input."""

    reduction: Reduction = field(default="abs", metadata={"spec": REDUCTION})
    times_input: bool = field(
        default=False,
        metadata={"spec": Spec("flag", "multiply by the input (tokens: the embedding) first")},
    )
    channels: Channels = field(default="sum", metadata={"spec": CHANNELS})


@dataclass(frozen=True, slots=True)
class SmoothGrad:
    """Mean of the gradients at noisy copies of the input.

    `noise` is the standard deviation, as a share of the row's own range (tokens: its embedding's).
    """

    n_samples: int = field(
        default=50,
        metadata={"spec": Spec("integer", "noisy copies to average over", low=1, high=10_000)},
    )
    noise: float = field(
        default=0.15,
        metadata={
            "spec": Spec(
                "number",
                "standard deviation of the noise",
                low=0.0,
                high=10.0,
                unit="the row's range, largest less smallest value",
            )
        },
    )
    reduction: Reduction = field(default="abs", metadata={"spec": REDUCTION})
    channels: Channels = field(default="sum", metadata={"spec": CHANNELS})
    seed: int = field(default=0, metadata={"spec": SEED})


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
    baseline: float | None = field(default=None, metadata={"spec": BASELINE})
    channels: Channels = field(default="sum", metadata={"spec": CHANNELS})
