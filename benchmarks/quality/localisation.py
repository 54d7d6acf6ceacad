"""Do maps lie on the object? Pointing game and energy in the box, beside guesses that see nothing.

Pointing: the map's largest value lies in the box (Zhang et al. 2016, arXiv:1608.00507, without
their tolerance of some pixels). Energy: the share of the map's positive values inside (Wang et al.
2020, arXiv:1910.01279); a map without positive values has none inside. Pictures are taken with the
object in the middle, so both are quoted beside a guess of the centre, and beside an even map.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.boxes import Boxed, kangaroos, mosaics, photographs
from benchmarks.quality.rows import GENTLE, REPOSITORY, explained
from benchmarks.quality.squeezenet import SIDE, build, verify
from candor.cli.local import load_file, open_model
from candor.explain.cam_options import CAMS
from candor.explain.options import Gradient, Options
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Target
from candor.runtime.files import ModelFile

__all__ = ["SETS", "measure"]

METHODS: Mapping[str, Options] = {
    **{name: options() for name, options in CAMS.items()},
    "gradient": Gradient(),
    "gradient x input": Gradient("signed", times_input=True),
    **GENTLE,
}


def measure(name: str, root: Path, count: int, seed: int) -> dict[str, Any]:
    """Score every method on one of the sets.

    Returns:
        `{"pictures": n, "right": share, "methods": {name: {"pointing": .., "energy": ..}}}`, the
        guesses among the methods; `right` is how often the target is the model's own top class.
    """
    subject, boxed = SETS[name](root, count, seed)
    points: dict[str, list[bool]] = defaultdict(list)
    energies: dict[str, list[float]] = defaultdict(list)
    right = []
    for each in boxed:
        right.append(int(subject.predict(each.x).score[0].argmax()) == each.target)
        for method, values in _maps(subject, each).items():
            points[method].append(_points(values, each.inside))
            energies[method].append(_energy(values, each.inside))
        points["even map"].append(bool(np.random.default_rng([seed, len(right)]).random()
                                       < each.inside.mean()))  # fmt: skip
        energies["even map"].append(float(each.inside.mean()))
    return {
        "pictures": len(boxed),
        "right": round(float(np.mean(right)), 4),
        "methods": {
            method: {
                "pointing": round(float(np.mean(points[method])), 4),
                "energy": round(float(np.mean(energies[method])), 4),
            }
            for method in points
        },
    }


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


Loaded = tuple[Subject, Sequence[Boxed]]


def _photographs(root: Path, count: int, seed: int) -> Loaded:
    subject = _photos()
    return subject, photographs(root, subject, count, seed)


def _mosaics(root: Path, count: int, seed: int) -> Loaded:
    subject = _photos()
    return subject, mosaics(root, subject, count, seed)


def _kangaroos(root: Path, count: int, seed: int) -> Loaded:
    proto = build(root)
    verify(proto, root)
    file = ModelFile(Path("squeezenet1.1/1/model.onnx"), proto, "", proto.ByteSize(), ())
    boxed = kangaroos(root, SIDE)
    chosen = np.random.default_rng(seed).permutation(len(boxed))[:count]
    return load_file(file).subject(), [boxed[at] for at in chosen]


def _photos() -> Subject:
    return open_model(REPOSITORY / "photos" / "1")[1].subject()


SETS: Mapping[str, Callable[[Path, int, int], Loaded]] = {
    "mosaics": _mosaics,
    "photos64": _photographs,
    "kangaroo": _kangaroos,
}
