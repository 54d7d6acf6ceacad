"""The randomisation test of one model: do its maps depend on what it has learnt?

The weights are shuffled from the output downwards, a stage after the other, and each stage's maps
are compared with those of the model itself, for the class that the model itself puts first. Maps
that stay the same come from the input or the architecture. Source: Adebayo et al. 2018, section 3
(cascading randomisation), arXiv:1810.03292. The last stage, which decides, is the mean over several
draws of all weights: maps of a few cells correlate by chance with those of a single one.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from skimage.metrics import structural_similarity

from candor import __version__
from candor.errors import InvalidInput, Unsupported
from candor.explain.cam_options import CAMS
from candor.explain.explainers import in_slices, resolve
from candor.explain.options import (
    Gradient,
    IntegratedGradients,
    Options,
    SmoothGrad,
)
from candor.explain.parse import method_name, to_json
from candor.explain.question import Question
from candor.explain.similarity import rank_correlation
from candor.explain.steps import ended
from candor.result import Array, Target
from candor.runtime.files import ModelFile
from candor.runtime.model import Model
from candor.runtime.randomise import WeightLayer, randomised, weight_layers
from candor.sanity import MethodSanity, Sanity, Verdict

__all__ = ["LIMIT", "TESTED", "Cascade", "Inputs", "sanity_test", "stages_of"]

LIMIT = 0.5
"""Rank correlation with the map of a model that knows nothing, from which a method fails: a quarter
of the ranks' variance is then the same."""

_WINDOW = 7
"""Pixels a side of structural similarity's window, as Wang et al. 2004 and scikit-image have it."""

TESTED: tuple[Options, ...] = (
    Gradient(),
    Gradient(reduction="signed", times_input=True),
    SmoothGrad(n_samples=10),
    IntegratedGradients(n_steps=10),
    *(options() for options in CAMS.values()),
)
"""What is cheap enough to be asked of a dozen models: one or a few runs each."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is explained.

    Attributes:
        rows: each [1, ...], in the model's input space.
        what: the same in words.
    """

    rows: tuple[Array, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Cascade:
    """How weights are put at random.

    Attributes:
        n_stages: at most how many steps there are from the last layer's weights to all.
        n_draws: of all weights, for the last stage.
        seed: of the first draw; each has the next.
    """

    n_stages: int
    n_draws: int
    seed: int


def stages_of(layers: Sequence[WeightLayer], most: int) -> list[tuple[str, set[str]]]:
    """Which tensors are shuffled at each stage, and the layer that was the last to go.

    The first stage is the layer next to the output, the last is all of them; in between, as many as
    `most` allows, evenly spaced.
    """
    n = len(layers)
    counts = sorted(set(np.linspace(n, 1, min(most, n)).round().astype(int).tolist()))
    return [
        (layers[n - count].name, {name for layer in layers[n - count :] for name in layer.tensors})
        for count in counts
    ]


def sanity_test(
    file: ModelFile,
    model: Model,
    inputs: Inputs,
    open_file: Callable[[ModelFile], Model],
    cascade: Cascade,
) -> Generator[tuple[int, int], None, Sanity]:
    """Run the test; yields how many maps are done, and of how many.

    Args:
        file: of the model.
        model: loaded.
        inputs: to explain.
        open_file: loads a model as that one was loaded.
        cascade: how its weights are put at random.

    Raises:
        Unsupported: there is nothing to shuffle, or no method to test.
    """
    asked = _supported(model, inputs)
    layers = weight_layers(file.proto)
    if not layers:
        raise Unsupported("the file holds no layer with weights, so there is nothing to randomise")
    stages, n_draws, seed = stages_of(layers, cascade.n_stages), cascade.n_draws, cascade.seed
    n_rows, n_models = len(inputs.rows), len(stages) + n_draws  # with the model itself
    progress = ((done, len(asked) * n_rows * n_models) for done in count(1))
    scores = [model.subject().predict(row).score[0] for row in inputs.rows]
    questions = [
        Question(row, Target(int(score.argmax())))
        for row, score in zip(inputs.rows, scores, strict=True)
    ]
    whole = yield from _maps(model, questions, asked, progress)
    alike: list[list[_Alike]] = [[] for _ in asked]
    for at, (_, names) in enumerate(stages, 1):
        drawn: list[list[_Alike]] = [[] for _ in asked]
        for draw in range(n_draws if at == len(stages) else 1):
            changed = open_file(replace(file, proto=randomised(file.proto, names, seed + draw)))
            maps = yield from _maps(changed, questions, asked, progress)
            for each, before, after in zip(drawn, whole, maps, strict=True):
                each.append(_compared(before, after, model.kind))
        for found, each in zip(alike, drawn, strict=True):
            found.append(_over_draws(each))
    return Sanity(
        model_digest=file.digest,
        candor_version=__version__,
        seed=seed,
        inputs=inputs.what,
        n_inputs=n_rows,
        limit=LIMIT,
        stages=tuple(name for name, _ in stages),
        methods=tuple(_result(*each) for each in zip(asked, alike, strict=True)),
        n_draws=n_draws,
    )


@dataclass(frozen=True, slots=True)
class _Alike:
    """How alike maps are, mean over the inputs; None where none could be compared."""

    ranks: float | None
    structure: float | None


def _supported(model: Model, inputs: Inputs) -> list[Options]:
    """The methods that explain this model, with their options settled."""
    subject, question = model.subject(), Question(inputs.rows[0])
    asked = [options for options in TESTED if model.methods[method_name(options)] is None]
    if not asked:
        reason = next(iter(model.methods.values()))
        raise Unsupported(f"none of the tested methods explains the model: {reason}")
    return [resolve(subject, question, options) for options in asked]


def _maps(
    model: Model,
    questions: Sequence[Question],
    asked: Sequence[Options],
    progress: Iterator[tuple[int, int]],
) -> Generator[tuple[int, int], None, list[list[Array | None]]]:
    """Magnitudes by method and input; None where the model has no finite answer."""
    maps: list[list[Array | None]] = []
    for options in asked:
        of_method: list[Array | None] = []
        for question in questions:
            of_method.append(_map(model, question, options))
            yield next(progress)
        maps.append(of_method)
    return maps


def _map(model: Model, question: Question, options: Options) -> Array | None:
    try:
        found = ended(in_slices(model.subject(), question, options))
    except InvalidInput:  # shuffled weights may overflow
        return None
    values = np.abs(found.values)
    return values if np.isfinite(values).all() else None


def _compared(before: Sequence[Array | None], after: Sequence[Array | None], kind: str) -> _Alike:
    pairs = [
        (a, b)
        for a, b in zip(before, after, strict=True)
        if a is not None and b is not None and np.ptp(a) > 0 and np.ptp(b) > 0
    ]
    if 2 * len(pairs) < len(before):  # too few maps are left that show a place
        return _Alike(None, None)
    ranks = [rank_correlation(a, b) or 0.0 for a, b in pairs]
    fits = kind == "image" and pairs and min(pairs[0][0].shape) >= _WINDOW
    structure = [_structure(a, b) for a, b in pairs] if fits else []
    return _Alike(_mean(ranks), _mean(structure))


def _over_draws(drawn: Sequence[_Alike]) -> _Alike:
    ranks = [each.ranks for each in drawn if each.ranks is not None]
    structure = [each.structure for each in drawn if each.structure is not None]
    if 2 * len(ranks) < len(drawn):  # most draws left no map that shows a place
        return _Alike(None, None)
    return _Alike(_mean(ranks), _mean(structure))


def _structure(first: Array, second: Array) -> float:
    a, b = (values / max(float(values.max()), 1e-30) for values in (first, second))
    return float(structural_similarity(a, b, data_range=1.0, win_size=_WINDOW))


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _result(options: Options, alike: Sequence[_Alike]) -> MethodSanity:
    last = alike[-1].ranks
    verdict: Verdict = "undecided" if last is None else "fails" if last > LIMIT else "passes"
    why = {
        "undecided": "most maps of the model, or with all weights random, show no place",
        "fails": "with all weights random it still ranks the positions much as before",
        "passes": "",
    }[verdict]
    structure = tuple(each.structure for each in alike)
    return MethodSanity(
        method=method_name(options),
        options=to_json(options),
        rank_correlation=tuple(each.ranks for each in alike),
        structural_similarity=None if all(each is None for each in structure) else structure,
        verdict=verdict,
        why=why,
    )
