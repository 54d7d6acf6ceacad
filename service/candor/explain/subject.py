"""What an explainer may ask of a model; `runtime.model.Model` satisfies it, and so can a test.

`x` is always a batch [n, ...] in the model's own input space, and the *explained value* is what
gradients are taken to: the input itself, or, where the input holds token ids, the output of the
embedding. Of several inputs `x` and the explained value hold all of them, end to end
(`explain.parts`).
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from candor.result import (
    Array,
    CamFormula,
    Explained,
    Geometry,
    GradientRun,
    Kind,
    NoisyRun,
    PathRun,
    Scores,
)

__all__ = [
    "CamFormula",
    "Covered",
    "Forward",
    "Geometry",
    "GradientRun",
    "Kind",
    "NoisyRun",
    "PathRun",
    "Subject",
]

Covered: TypeAlias = Callable[[Array], Iterator[Scores]]
"""Windows, int64 [m, 2, axes] -> scores of one row with each of them covered, in order.

They come some at a time, each worth a bounded time; none where only the clock is to be looked at. A
window is one of those announced, [low, high) along each axis of the positions, or [0, 0), which
covers nothing.
"""


class Forward(Protocol):
    """A model, as far as methods are concerned that run perturbed rows and nothing else."""

    @property
    def geometry(self) -> Geometry:
        """How a row is laid out."""
        ...

    @property
    def n_classes(self) -> int:
        """k, the number of classes; a single-logit model counts two."""
        ...

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """Scores of m perturbations of one row; no more than bits go to a device.

        Args:
            x: [1, ...], the row.
            baseline: [1, ...], same shape: what stands where a segment is absent.
            segments: int64, the row's shape or broadcastable to it: which segment holds a position.
            masks: bool [m, s]: True keeps the segment.
        """
        ...

    def covered(self, x: Array, baseline: Array, windows: Array) -> Covered | None:
        """What `perturb` says of windows, where the model can say it cheaper; else None.

        Args:
            x: [1, ...], the row; it may be run.
            baseline: [1, ...], same shape: what stands where a window is.
            windows: int64 [m, 2, axes], those that will be asked about, none empty.
        """
        ...

    def slices(self, n: int) -> Iterator[slice]:
        """Cut n samples into consecutive slices, each worth a bounded time on this model."""
        ...


class Subject(Forward, Protocol):
    """A model, as far as explanations are concerned. Every call is one ONNX Runtime run.

    `direction` is float32 [n, k]: the cotangent over the classes. A one-hot row explains one class,
    +1 and -1 the difference of two; a row of zeros means the row's own top class, found in the
    graph.
    """

    @property
    def straight_through(self) -> bool:
        """Whether gradients are straight-through estimates, since the model is quantised."""
        ...

    def predict(self, x: Array) -> Scores:
        """Scores and probabilities of x."""
        ...

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """Prediction and class activation map, out of one run: float32 [n, h, w] (or [n, t])."""
        ...

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        """The layer to use: the named one checked, or the default; raises NotFound, Unsupported."""
        ...

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        """Prediction and gradient, out of one run."""
        ...

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        """Gradients at baseline + alpha (x - baseline); x, baseline [1, ...], alphas [m]."""
        ...

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        """Gradients at one row [1, ...] with each of m noises [m, ...] added to what is explained.

        `noise` is float32 in the shape of the explained value.
        """
        ...
