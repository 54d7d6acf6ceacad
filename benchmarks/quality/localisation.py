"""Do maps lie on the object? Pointing game and energy in the box, beside guesses that see nothing.

Pointing: the map's largest value lies in the box (Zhang et al. 2016, arXiv:1608.00507, without
their tolerance of some pixels). Energy: the share of the map's positive values inside (Wang et al.
2020, arXiv:1910.01279); a map without positive values has none inside. Pictures are taken with the
object in the middle, so both are quoted beside a guess of the centre, and beside an even map, whose
largest value is as likely anywhere: both of its scores are the share of the picture in the box.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.boxes import Boxed, kangaroos, mosaics, photographs
from benchmarks.quality.rows import GENTLE, REPOSITORY, explained
from benchmarks.quality.spread import mean_of
from benchmarks.quality.squeezenet import SIDE, build, verify
from benchmarks.quality.suite import Row, Suite
from candor.cli.local import load_file, open_model
from candor.explain.cam_options import CAMS
from candor.explain.options import Gradient, Options
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Target
from candor.runtime.files import ModelFile

__all__ = ["GUESSES", "SETS", "suite"]

SCORES = ("pointing", "energy")
GUESSES = ("centre", "even map")

METHODS: Mapping[str, Options] = {
    **{name: options() for name, options in CAMS.items()},
    "gradient": Gradient(),
    "gradient x input": Gradient("signed", times_input=True),
    **GENTLE,
}


def suite(name: str, root: Path, count: int, seed: int) -> Suite:
    """Score every method on one of the sets.

    The summary is `{"pictures": n, "targets": n, "right": share, "methods": {name: {"pointing": ..,
    "energy": .., "better": [score]}}}`, the guesses among the methods and means as
    `spread.mean_of` has them. `right` is how often the target is the model's own top class,
    `better` the scores in which a method is surely better than either guess.
    """
    subject, digest, boxed = SETS[name](root, count, seed)

    def measure(number: int) -> Row:
        each = boxed[number]
        scores = {
            method: (_points(values, each.inside), _energy(values, each.inside))
            for method, values in _maps(subject, each).items()
        }
        share = float(each.inside.mean())
        top = int(subject.predict(each.x).score[0].argmax())
        return {
            "picture": each.picture,
            "right": top == each.target,
            "methods": {**scores, "even map": (share, share)},
        }

    return Suite(digest, len(boxed), measure, _summary)


def _summary(found: Sequence[Row]) -> Mapping[str, Any]:
    pictures = [row["picture"] for row in found]

    def scores(method: str) -> dict[str, Any]:
        return {
            score: mean_of([float(row["methods"][method][at]) for row in found], pictures)
            for at, score in enumerate(SCORES)
        }

    def better(method: str) -> list[str]:
        return [
            score for at, score in enumerate(SCORES)
            if all(_gains(found, pictures, at, method, guess) for guess in GUESSES)
        ]  # fmt: skip

    return {
        "pictures": len(set(pictures)),
        "targets": len(found),
        "right": round(float(np.mean([row["right"] for row in found])), 4),
        "methods": {
            method: {**scores(method), "better": better(method)} for method in found[0]["methods"]
        },
    }


def _gains(found: Sequence[Row], pictures: Sequence[int], at: int, method: str, guess: str) -> bool:
    """Whether the mean difference to a guess about the same pictures is surely positive."""
    each = [float(row["methods"][method][at]) - row["methods"][guess][at] for row in found]
    gain = mean_of(each, pictures)
    return gain is not None and gain["low"] > 0


def _maps(subject: Subject, boxed: Boxed) -> dict[str, Array]:
    question = Question(boxed.x, Target(boxed.target))
    maps = {name: explained(subject, question, asked).values for name, asked in METHODS.items()}
    return {**maps, "centre": _centre(boxed.inside.shape)}


def _centre(shape: tuple[int, ...]) -> Array:
    """A bump in the middle, a quarter of each side wide."""
    rows, columns = (np.linspace(-2, 2, size) for size in shape)
    return np.asarray(np.exp(-0.5 * (rows[:, None] ** 2 + columns[None] ** 2)))


def _points(values: Array, inside: Array) -> bool:
    """Whether the largest value lies inside; of several the share that does decides, by a half."""
    best = values == values.max()
    return bool(values.max() > 0 and inside[best].mean() > 0.5)


def _energy(values: Array, inside: Array) -> float:
    positive = np.maximum(values.astype(np.float64), 0)
    total = positive.sum()
    return float(positive[inside].sum() / total) if total > 0 else 0.0


Loaded = tuple[Subject, str, Sequence[Boxed]]
"""A model, its digest, and what it is asked about."""


def _photographs(root: Path, count: int, seed: int) -> Loaded:
    subject, digest = _photos()
    return subject, digest, photographs(root, subject, count, seed)


def _mosaics(root: Path, count: int, seed: int) -> Loaded:
    subject, digest = _photos()
    return subject, digest, mosaics(root, subject, count, seed)


def _kangaroos(root: Path, count: int, seed: int) -> Loaded:
    proto = build(root)
    verify(proto, root)
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    file = ModelFile(Path("squeezenet1.1/1/model.onnx"), proto, digest, proto.ByteSize(), ())
    boxed = kangaroos(root, SIDE)
    chosen = np.random.default_rng(seed).permutation(len(boxed))[:count]
    return load_file(file).subject(), digest, [boxed[at] for at in chosen]


def _photos() -> tuple[Subject, str]:
    file, model = open_model(REPOSITORY / "photos" / "1")
    return model.subject(), file.digest


SETS: Mapping[str, Callable[[Path, int, int], Loaded]] = {
    "mosaics": _mosaics,
    "photos64": _photographs,
    "kangaroo": _kangaroos,
}
