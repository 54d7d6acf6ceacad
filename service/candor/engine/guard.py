"""A subject that lets no score pass which is not a number, and remembers those of its last run.

A finite input may still overflow inside the model. Of such scores no map, no fit and no figure can
be made, so the request is refused as soon as the run is over.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from candor.errors import InvalidInput
from candor.explain.subject import (
    CamFormula,
    Covered,
    Geometry,
    GradientRun,
    NoisyRun,
    PathRun,
    Subject,
)
from candor.result import Array, Explained, Scores

__all__ = ["Guard", "refuse_overflow"]

_HERE: Final = "for this input"
_NEAR: Final = "for this input, or with parts of it at the baseline"


class Guard:
    """Satisfies `explain.subject.Subject`.

    Attributes:
        scores: of the last run that explained the rows as they stand; None before it.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.scores: Scores | None = None

    @property
    def geometry(self) -> Geometry:
        """How a row is laid out."""
        return self._subject.geometry

    @property
    def n_classes(self) -> int:
        """k, the number of classes."""
        return self._subject.n_classes

    @property
    def straight_through(self) -> bool:
        """As the subject."""
        return self._subject.straight_through

    def predict(self, x: Array) -> Scores:
        """As the subject, finite."""
        return _finite(self._subject.predict(x), _HERE)

    def cam(
        self, x: Array, direction: Array, formula: CamFormula, layer: str, *, normalise: bool
    ) -> tuple[Scores, Array]:
        """As the subject, finite."""
        scores, maps = self._subject.cam(x, direction, formula, layer, normalise=normalise)
        self.scores = _finite(scores, _HERE)
        return scores, maps

    def cam_layer(self, formula: CamFormula, layer: str | None) -> str:
        """As the subject."""
        return self._subject.cam_layer(formula, layer)

    def gradient(self, x: Array, direction: Array, explained: Explained) -> GradientRun:
        """As the subject, finite."""
        run = self._subject.gradient(x, direction, explained)
        self.scores = _finite(run.scores, _HERE)
        return run

    def path(
        self, x: Array, baseline: Array, alphas: Array, direction: Array, explained: Explained
    ) -> PathRun:
        """As the subject, finite."""
        run = self._subject.path(x, baseline, alphas, direction, explained)
        _finite(run.scores, _NEAR)
        return run

    def noisy(self, x: Array, noise: Array, direction: Array, explained: Explained) -> NoisyRun:
        """As the subject, finite."""
        run = self._subject.noisy(x, noise, direction, explained)
        _finite(run.scores, "for this input with noise added")
        return run

    def perturb(self, x: Array, baseline: Array, segments: Array, masks: Array) -> Scores:
        """As the subject, finite."""
        return _finite(self._subject.perturb(x, baseline, segments, masks), _NEAR)

    def covered(self, x: Array, baseline: Array, windows: Array) -> Covered | None:
        """As the subject, finite."""
        found = self._subject.covered(x, baseline, windows)
        if found is None:
            return None
        return lambda chosen: (_finite(scores, _NEAR) for scores in found(chosen))

    def slices(self, n: int) -> Iterator[slice]:
        """As the subject."""
        return self._subject.slices(n)


def refuse_overflow(values: Array, what: str, where: str = _HERE) -> None:
    """Refuse numbers that are not finite.

    Args:
        values: of any shape.
        what: subject and verb of the sentence that says so.
        where: its end.

    Raises:
        InvalidInput: naming the first of them.
    """
    finite = np.isfinite(values)
    if not finite.all():
        raise InvalidInput(
            f"{what} not finite ({values[~finite][0]}) {where}, so there is nothing to explain; "
            "expected numbers of the size that the model was trained on"
        )


def _finite(scores: Scores, where: str) -> Scores:
    for values in (scores.score, scores.probability):
        refuse_overflow(values, "the model's scores are", where)
    return scores
