"""How many samples LIME takes with a tolerance, and how far its leading segments can be trusted.

The reference for a picture is a run of 4,000 samples with draws of its own: of the five leading
segments of both, how many are the same?
"""

from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch

from candor.explain.lime import TOP_K, lime
from candor.explain.options import Lime
from candor.explain.question import Progress, Question
from candor.explain.subject import Subject
from candor.result import Array, Attribution
from candor.runtime.blueprints import plan_explanations
from candor.runtime.compiled import Compiled
from candor.runtime.manifest import load_manifest
from candor.runtime.session import Session, SessionPolicy
from zoo.photos64 import load_validation
from zoo.train_photos import normalise

__all__ = ["Row", "measure", "photographs", "photos"]

_MODEL = Path("models/repository/photos")
_POLICY = SessionPolicy(("cpu",), intra_op_threads=1)
_REFERENCE = Lime(4000, seed=99)


class Row(NamedTuple):
    """One tolerance over all pictures; None: all of a thousand samples."""

    tolerance: float | None
    mean_samples: float
    most_samples: int
    mean_overlap: float


def photos() -> Subject:
    """The committed photograph model."""
    file, manifest = onnx.load(_MODEL / "1" / "model.onnx"), load_manifest(_MODEL)
    plan = plan_explanations(file, manifest, None, None)
    return Compiled(
        plan.blueprint,
        plan.geometry,
        lambda program, rows: Session(program, _POLICY, rows=rows),
        on_run=lambda _program, _rows, _seconds: None,
    )


def photographs(root: Path, count: int, seed: int) -> Array:
    """Pictures of the validation split, drawn at random, as the model takes them."""
    pixels = load_validation(root).pixels
    chosen = np.random.default_rng(seed).choice(len(pixels), count, replace=False)
    return np.asarray(normalise(torch.from_numpy(pixels[chosen]).float() / 255).numpy())


def measure(subject: Subject, rows: Array, tolerances: list[float | None]) -> list[Row]:
    """Explain each row by each tolerance, and compare with its reference."""
    wanted = [_leading(_explain(subject, row, _REFERENCE)) for row in rows]
    return [_of_tolerance(subject, rows, tolerance, wanted) for tolerance in tolerances]


def _of_tolerance(
    subject: Subject, rows: Array, tolerance: float | None, wanted: list[set[int]]
) -> Row:
    found = [_explain(subject, row, Lime(1000, tolerance=tolerance, seed=1)) for row in rows]
    counts = [answer.trust["figures"]["n_samples"] for answer in found]
    overlaps = [len(_leading(answer) & want) for answer, want in zip(found, wanted, strict=True)]
    return Row(tolerance, float(np.mean(counts)), max(counts), float(np.mean(overlaps)))


def _explain(subject: Subject, row: Array, options: Lime) -> Attribution:
    return _finished(lime(subject, Question(row[None]), options))


def _finished(work: Generator[Progress, None, Attribution]) -> Attribution:
    while True:
        try:
            next(work)
        except StopIteration as end:
            answer: Attribution = end.value
            return answer


def _leading(answer: Attribution) -> set[int]:
    coefficients = np.abs(np.array(answer.trust["figures"]["coefficients"]))
    return set(np.argsort(-coefficients)[:TOP_K].tolist())
