"""A `Subject` over torch modules: the references and candor then explain one and the same model."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from candor.explain.subject import CamFormula, Geometry, GradientRun, NoisyRun, PathRun
from candor.result import Array, Explained, Scores

IMAGE = Geometry("image", 0)


@dataclass
class TorchSubject:
    """A torch classifier in evaluation mode.

    Attributes:
        classify: from the explained value (the input, or the embedding's output) to scores.
        geometry: of a row.
        embed: from token ids to vectors; None where the input itself is differentiated.
        slice_size: rows in one slice; small, so that every test crosses slices.
        n_rows: rows run so far, to check what explanations say that they cost.
    """

    classify: nn.Module
    geometry: Geometry = IMAGE
    embed: nn.Module | None = None
    n_classes: int = 3
    slice_size: int = 7
    dtype: torch.dtype = torch.float64
    n_rows: int = field(default=0)
    straight_through: bool = False

    def __post_init__(self) -> None:
        for module in (self.classify, self.embed):
            if module is not None:
                module.to(self.dtype).eval().requires_grad_(requires_grad=False)

    def predict(self, x: Array) -> Scores:
        with torch.no_grad():
            return self._scores(self.classify(self._value(x)))

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        raise NotImplementedError("the graph does this; see tests/agreement/reference_cam.py")

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        raise NotImplementedError("the graph does this")

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        value = self._value(x)
        scores, gradient = self._differentiate(value, direction, explained)
        return GradientRun(scores, gradient, value.detach().numpy())

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        start, end = self._value(baseline), self._value(x)
        steps = torch.tensor(alphas, dtype=self.dtype).reshape(-1, *[1] * (end.ndim - 1))
        points = start + steps * (end - start)
        toward = np.repeat(direction, len(alphas), axis=0)
        scores, gradient = self._differentiate(points, toward, explained)
        return PathRun(scores, gradient, (end - start)[0].numpy())

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        points = self._value(x) + torch.tensor(noise, dtype=self.dtype)
        toward = np.repeat(direction, len(noise), axis=0)
        return NoisyRun(*self._differentiate(points, toward, explained))

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        assert masks.dtype == bool
        assert segments.dtype == np.int64
        keep = np.take(masks, np.broadcast_to(segments, x.shape[1:]), axis=1)
        return self.predict(np.where(keep, x, baseline))

    def covered(self, x: Array, baseline: Array, windows: Array) -> None:
        return None

    def slices(self, n: int) -> Iterator[slice]:
        for start in range(0, n, self.slice_size):
            yield slice(start, min(start + self.slice_size, n))

    def _value(self, x: Array) -> torch.Tensor:
        if self.embed is None:
            return torch.tensor(x, dtype=self.dtype)
        with torch.no_grad():
            return self.embed(torch.tensor(x, dtype=torch.int64))

    def _differentiate(
        self, value: torch.Tensor, direction: Array, explained: Explained
    ) -> tuple[Scores, Array]:
        value = value.clone().requires_grad_()
        with torch.enable_grad():
            score = self.classify(value)
            toward = torch.tensor(direction, dtype=self.dtype)
            top = nn.functional.one_hot(score.argmax(1), self.n_classes).to(self.dtype)
            toward = torch.where((toward == 0).all(1, keepdim=True), top, toward)
            explained_value = score if explained == "score" else score.softmax(1)
            (gradient,) = torch.autograd.grad((explained_value * toward).sum(), value)
        return self._scores(score.detach()), gradient.numpy()

    def _scores(self, score: torch.Tensor) -> Scores:
        self.n_rows += len(score)
        return Scores(score.numpy(), score.softmax(1).numpy())
