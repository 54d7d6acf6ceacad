"""What each program of a model costs, as multiples of a plain prediction."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from candor.explain.subject import Subject
from candor.result import Array, CamFormula
from candor.runtime.model import Model

__all__ = ["Cost", "costs"]

_ROUNDS = 15
_WARM = 2
_SAMPLES = 8


class Cost(NamedTuple):
    """One program's cost.

    Attributes:
        program: its name.
        per: what is counted: a row, a point, a sample.
        ms: median of the time of one.
        ratio: median over rounds of its time by that of a prediction in the same round.
        low: first quartile of the ratio.
        high: third quartile of the ratio.
    """

    program: str
    per: str
    ms: float
    ratio: float
    low: float
    high: float


def costs(model: Model, rows: Array) -> list[Cost]:
    """Time each program that the model has on one row, in turns with a plain prediction."""
    runs = _runs(model, rows)
    seconds = np.array(
        [[_time(run) / count for _, _, count, run in runs] for _ in range(_WARM + _ROUNDS)]
    )[_WARM:]
    ratios = seconds / seconds[:, :1]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75), axis=0)
    ms = 1e3 * np.median(seconds, axis=0)
    return [
        Cost(program, per, *(round(float(x[i]), 3) for x in (ms, middle, low, high)))
        for i, (program, per, _, _) in enumerate(runs)
    ]


_Run = tuple[str, str, int, Callable[[], object]]


def _runs(model: Model, rows: Array) -> list[_Run]:
    """Each program: its name, what is counted, how many of them one run does, and the run."""
    subject: Subject = model.subject()
    n = len(rows)
    top = np.zeros((n, subject.n_classes), np.float32)
    row, alone = rows[:1], top[:1]
    segments, masks = _cut(subject, row)
    alphas = (np.arange(_SAMPLES, dtype=np.float32) + 0.5) / _SAMPLES
    possible = model.methods
    runs: list[tuple[str | None, _Run]] = [
        (None, ("predict", "row", n, lambda: model.run({model.input_name: rows}))),
        ("cam", ("cam", "row", n, lambda: _cam(subject, rows, top, "cam"))),
        ("grad_cam", ("grad_cam", "row", n, lambda: _cam(subject, rows, top, "grad_cam"))),
        ("gradient", ("gradient", "row", n, lambda: subject.gradient(rows, top, "score"))),
        ("integrated_gradients", ("integrated_gradients, smooth_grad", "point", _SAMPLES,
            lambda: subject.path(row, np.zeros_like(row), alphas, alone, "score"))),
        ("lime", ("lime, occlusion", "sample", _SAMPLES,
            lambda: subject.perturb(row, np.zeros_like(row), segments, masks))),
    ]  # fmt: skip
    return [run for method, run in runs if method is None or possible[method] is None]


def _cam(subject: Subject, rows: Array, top: Array, formula: CamFormula) -> object:
    layer = subject.cam_layer(formula, None)
    return subject.cam(rows, top, formula, layer, normalise=True)


def _cut(subject: Subject, row: Array) -> tuple[Array, Array]:
    """Segments of a row, [*row without channels], and which of them each sample keeps."""
    shape = list(row.shape[1:])
    if subject.geometry.channel_axis is not None:
        shape[subject.geometry.channel_axis] = 1
    size = int(np.prod(shape))
    n_segments = min(size, 16)
    segments = (np.arange(size) * n_segments // size).reshape(shape)
    masks = np.arange(_SAMPLES * n_segments).reshape(_SAMPLES, n_segments) % 3 > 0
    return segments, masks


def _time(run: Callable[[], object]) -> float:
    began = perf_counter()
    run()
    return perf_counter() - began
