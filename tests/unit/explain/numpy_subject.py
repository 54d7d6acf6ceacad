"""A `Subject` made of a numpy function and its derivative, counting what it is asked."""

import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from candor.explain.subject import CamFormula, Geometry, GradientRun, NoisyRun, PathRun
from candor.result import Array, Explained, Scores


def softmax(score: Array) -> Array:
    powers = np.exp(score - score.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass
class NumpySubject:
    """A classifier in numpy.

    Attributes:
        score: explained values [n, ...] -> scores [n, k].
        pull_back: (explained values [n, ...], cotangent [n, k]) -> gradient [n, ...].
        probability: scores -> probabilities.
        embedding: [words, d], where rows are token ids; else None.
        calls: the number of rows of each run, in order.
    """

    score: Callable[[Array], Array]
    pull_back: Callable[[Array, Array], Array] | None = None
    geometry: Geometry = Geometry("image", 0)  # noqa: RUF009
    n_classes: int = 3
    probability: Callable[[Array], Array] = softmax
    embedding: Array | None = None
    straight_through: bool = False
    slice_size: int = 8
    calls: list[int] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        return sum(self.calls)

    def predict(self, x: Array) -> Scores:
        return self._scores(self._value(x))

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """Not a real map: the input's first channel times the cotangent's first entry."""
        scores = self._scores(self._value(x))
        return scores, x[:, 0] * direction[:, :1, None] * (1 if normalise else 10)

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        return layer or f"last for {formula}"

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        value = self._value(x)
        scores, gradient = self._differentiate(value, direction, explained)
        return GradientRun(scores, gradient, value)

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        start, end = self._value(baseline), self._value(x)
        steps = alphas.reshape(-1, *[1] * (end.ndim - 1))
        points = start + steps * (end - start)
        toward = np.repeat(direction, len(alphas), axis=0)
        scores, gradient = self._differentiate(points, toward, explained)
        return PathRun(scores, gradient, (end - start)[0])

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        points = self._value(x) + noise
        toward = np.repeat(direction, len(noise), axis=0)
        return NoisyRun(*self._differentiate(points, toward, explained))

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        assert masks.dtype == bool
        assert segments.dtype == np.int64
        assert segments.min() >= 0
        assert segments.max() < masks.shape[1]
        assert baseline.shape == x.shape
        assert baseline.dtype == x.dtype
        keep = np.take(masks, np.broadcast_to(segments, x.shape[1:]), axis=1)
        return self.predict(np.where(keep, x, baseline))

    def covered(self, x: Array, baseline: Array, windows: Array) -> None:
        return None

    def slices(self, n: int) -> Iterator[slice]:
        for start in range(0, n, self.slice_size):
            yield slice(start, min(start + self.slice_size, n))

    def _value(self, x: Array) -> Array:
        return x if self.embedding is None else self.embedding[x]

    def _differentiate(
        self, value: Array, direction: Array, explained: Explained
    ) -> tuple[Scores, Array]:
        assert self.pull_back is not None
        scores = self._scores(value)
        top = np.eye(self.n_classes)[scores.score.argmax(1)]
        toward = np.where((direction == 0).all(1, keepdims=True), top, direction)
        if explained == "probability":
            p = scores.probability
            toward = p * (toward - (p * toward).sum(1, keepdims=True))
        return scores, self.pull_back(value, toward)

    def _scores(self, value: Array) -> Scores:
        self.calls.append(len(value))
        score = self.score(value)
        return Scores(score, self.probability(score))


def peak_bytes(generator) -> int:
    """How much an explainer held at most, of memory that Python and numpy took."""
    tracemalloc.start()
    try:
        deque(generator, maxlen=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def linear(weights: Array, **options) -> NumpySubject:
    """Scores that are linear in the input; weights [k, ...] of a row's shape.

    Not by a matrix product: BLAS rounds a row differently in batches of different size.
    """
    axes = tuple(range(2, weights.ndim + 1))
    return NumpySubject(
        score=lambda x: (x[:, None] * weights).sum(axes),
        pull_back=lambda x, toward: np.tensordot(toward, weights, axes=1),
        n_classes=len(weights),
        **options,
    )
