"""From a target as asked to the numbers that are explained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from candor.errors import InvalidInput, InvalidTarget
from candor.explain.subject import Subject
from candor.result import Array, Explained, Scores, Target

__all__ = [
    "Aim",
    "Outcome",
    "aim",
    "directions",
    "fixed",
    "measure",
    "measure_changed",
    "one_hot",
    "outcome",
]


@dataclass(frozen=True, slots=True)
class Aim:
    """A target with its classes known.

    Attributes:
        plus, minus: class that speaks for the target, and the one against it (None: no such).
        top: whether `plus` was the row's top class rather than asked by index.
    """

    plus: int
    minus: int | None
    top: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model says of the unperturbed row about the target.

    Attributes:
        aim: the target.
        explained: what the attribution is in units of.
        score, probability: of the target; of a difference, the difference of the two.
    """

    aim: Aim
    explained: Explained
    score: float
    probability: float


def fixed(target: Target, n_classes: int) -> Aim | None:
    """The aim of a target that names its class; None where the row's top class decides.

    Raises:
        InvalidTarget: a class that the model does not have, or the same one twice.
    """
    for index in (target.plus, target.minus):
        if index is not None and not 0 <= index < n_classes:
            raise InvalidTarget(
                f"target class {index} does not exist: the model has classes 0 to {n_classes - 1}"
            )
    if target.plus is not None and target.plus == target.minus:
        raise InvalidTarget(f"target class {target.plus} is compared with itself")
    return None if target.plus is None else Aim(target.plus, target.minus, top=False)


def aim(target: Target, scores: Scores, row: int = 0) -> Aim:
    """The target's classes, given the scores [n, k] of its row.

    Raises:
        InvalidTarget: as `fixed`; also where the class compared with turns out to be the top one.
        InvalidInput: a score is NaN, so that the row has no top class.
    """
    known = fixed(target, scores.score.shape[1])
    if known is not None:
        return known
    _refuse_nan(scores, row)
    top = int(np.argmax(scores.score[row]))
    if top == target.minus:
        raise InvalidTarget(f"class {top} is this row's top class and is compared with itself")
    return Aim(top, target.minus, top=True)


def one_hot(aims: Sequence[Aim | None], n_classes: int) -> Array:
    """Cotangents over the classes, float32 [n, k]: +1 for, -1 against, zeros for the top class."""
    rows = np.zeros((len(aims), n_classes), dtype=np.float32)
    for row, known in zip(rows, aims, strict=True):
        if known is not None:
            row[known.plus] = 1.0
            if known.minus is not None:
                row[known.minus] = -1.0
    return rows


def directions(subject: Subject, x: Array, targets: Sequence[Target]) -> tuple[Array, int]:
    """Cotangents of a batch, and how often each row was run to find them.

    The graph finds top classes, but not what they are compared with: a difference that starts at a
    row's top class costs one prediction of the batch first.
    """
    aims = [fixed(target, subject.n_classes) for target in targets]
    if all(target.plus is not None or target.minus is None for target in targets):
        return one_hot(aims, subject.n_classes), 0
    scores = subject.predict(x)
    aims = [aim(target, scores, row) for row, target in enumerate(targets)]
    return one_hot(aims, subject.n_classes), 1


def measure(of: Aim, scores: Scores, explained: Explained) -> Array:
    """What is explained, for each of n rows: float64 [n]."""
    values = scores.score if explained == "score" else scores.probability
    plus = values[:, of.plus].astype(np.float64)
    return plus if of.minus is None else plus - values[:, of.minus].astype(np.float64)


def measure_changed(of: Aim, scores: Scores, explained: Explained, what: str) -> Array:
    """As `measure`, of inputs that are not the caller's own; `what` says what was done to them.

    Raises:
        InvalidInput: a value is not finite, so that nothing can be compared with it.
    """
    values = measure(of, scores, explained)
    if not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)][0]
        raise InvalidInput(
            f"the model's {explained} of the target is not finite ({wrong:g}) {what}, so that "
            "there is nothing to compare with; use another baseline"
        )
    return values


def outcome(of: Aim, scores: Scores, explained: Explained, row: int = 0) -> Outcome:
    """What the model says of one row about the target.

    Raises:
        InvalidInput: a score of the row is NaN, or what is explained is not finite.
    """
    _refuse_nan(scores, row)
    with np.errstate(invalid="ignore"):  # a difference of infinities
        score = float(measure(of, scores, "score")[row])
        probability = float(measure(of, scores, "probability")[row])
    if not math.isfinite(score if explained == "score" else probability):
        raise _not_finite(f"score {score:g}, probability {probability:g} of the target")
    return Outcome(of, explained, score, probability)


def _refuse_nan(scores: Scores, row: int) -> None:
    values = scores.score[row]
    if math.isnan(values[values.argmax()]):  # which finds the first of them
        raise _not_finite("score nan")


def _not_finite(found: str) -> InvalidInput:
    return InvalidInput(
        f"the model's scores are not finite for this input ({found}), so that there is nothing to "
        "explain; its values may be too large for the model's arithmetic"
    )
