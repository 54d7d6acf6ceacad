"""The figures of full trust over the committed models, beside those of random maps.

A figure alone says little: how low a deletion can go depends on the model and on the row. So every
row is also examined with maps that know nothing: a random number for each position, and for images
also one for each of 7 by 7 blocks, since scattered pixels spoil a picture faster than a patch does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.rows import Rows, asked_of, explained, rows_of
from candor.explain.examination import FIGURES, Found, curves, losses, trial_of
from candor.explain.explainers import INTERACTIVE
from candor.explain.layout import position_shape
from candor.explain.options import Gradient, Options
from candor.explain.parse import method_name
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Attribution, Json

__all__ = ["measure"]

_BLOCKS = 7


def measure(name: str, root: Path, count: int, seed: int) -> dict[str, Any]:
    """Examine every method on `count` rows of a model.

    Returns:
        `{"rows": n, "methods": {name: {figure: mean, "warnings": {word: times}}}}`, random maps
        among the methods; a figure that was never measured is None.
    """
    rows = rows_of(name, root, count, seed)
    figures: dict[str, list[Mapping[str, Json]]] = defaultdict(list)
    warnings: dict[str, Counter[str]] = defaultdict(Counter)
    for number, row in enumerate(rows.rows):
        for method, trust in _row(rows, row, np.random.default_rng([seed, number])):
            figures[method].append(trust["figures"])
            warnings[method].update(line.split(":")[0] for line in trust["warnings"])
    methods = {
        method: {figure: _mean(found, figure) for figure in FIGURES}
        | {"warnings": dict(warnings[method])}
        for method, found in figures.items()
    }
    return {"rows": len(rows.rows), "kind": rows.model.kind, "methods": methods}


def _row(rows: Rows, row: Array, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """The records of every method and of random maps for one row."""
    subject = rows.model.subject()
    question = Question(row, trust="full")
    any_map: Attribution | None = None
    for options in asked_of(rows.model):
        # Long methods are not asked five times more for their max-sensitivity.
        fast = type(options) in INTERACTIVE
        answer = explained(subject, question if fast else Question(row), options)
        any_map = any_map or answer
        figures = answer.trust["figures"] if fast else _examined(subject, question, options, answer)
        yield method_name(options), {"figures": figures, "warnings": answer.trust["warnings"]}
    if any_map is None:
        return
    shape = position_shape(row.shape[1:], subject.geometry)
    random = {"random": rng.random(shape)}
    if subject.geometry.kind == "image":
        blocks = rng.random((_BLOCKS, _BLOCKS))
        places = [np.arange(size) * _BLOCKS // size for size in shape]
        random["random blocks"] = blocks[np.ix_(*places)]
    for name, values in random.items():
        guess = replace(any_map, values=values.astype(np.float32))
        figures = _examined(subject, question, Gradient(), guess)
        yield name, {"figures": figures, "warnings": []}


def _examined(
    subject: Subject, question: Question, options: Options, answer: Attribution
) -> Mapping[str, Json]:
    found, trial = Found(), trial_of(subject, question, options, answer)
    for stage in (curves(trial, found), losses(trial, found)):
        for _ in stage:
            pass
    return found.figures


def _mean(found: list[Mapping[str, Json]], figure: str) -> float | None:
    values = [f[figure] for f in found if isinstance(f.get(figure), int | float)]
    return round(float(np.mean(np.array(values, dtype=float))), 4) if values else None
