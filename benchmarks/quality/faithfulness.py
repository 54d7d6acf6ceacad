"""The figures of full trust over the committed models, beside those of random maps.

A figure alone says little: how low a deletion can go depends on the model and on the row. So every
row is also examined with maps that know nothing: a random number for each position, and for images
also one for each of 7 by 7 blocks, since scattered pixels spoil a picture faster than a patch does.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.rows import Rows, asked_of, explained, rows_of
from benchmarks.quality.spread import mean_of
from benchmarks.quality.suite import Row, Suite
from candor.explain.examination import FIGURES, Found, curves, losses, trial_of
from candor.explain.explainers import INTERACTIVE
from candor.explain.layout import position_shape
from candor.explain.options import Gradient, Options
from candor.explain.parse import method_name
from candor.explain.question import Question
from candor.explain.subject import Subject
from candor.result import Array, Attribution, Json

__all__ = ["suite"]

MORE_IS_BETTER = ("insertion_auc", "faithfulness_correlation")
_BLOCKS = 7


def suite(name: str, root: Path, count: int, seed: int) -> Suite:
    """Examine every method on `count` rows of a model.

    The summary is `{"rows": n, "kind": .., "methods": {name: {figure: mean, "better": [figure],
    "warnings": {word: times}}}}`, random maps among the methods; a figure that was never measured
    is None, a mean is `spread.mean_of`'s. `better` are the figures in which the method is better
    than the random map of the same row: the interval of the mean difference does not reach zero.
    """
    rows = rows_of(name, root, count, seed)

    def measure(number: int) -> Row:
        rng = np.random.default_rng([seed, number])
        return {"methods": dict(_row(rows, rows.rows[number], rng))}

    def summary(found: Sequence[Row]) -> Mapping[str, Any]:
        return {
            "rows": len(found),
            "kind": rows.model.kind,
            "methods": {
                method: _summary([row["methods"] for row in found], method)
                for method in found[0]["methods"]
            },
        }

    return Suite(rows.digest, len(rows.rows), measure, summary)


def _summary(found: Sequence[Mapping[str, Any]], method: str) -> dict[str, Any]:
    rows = range(len(found))
    figures: dict[str, Any] = {}
    better = []
    for figure in FIGURES:
        values = [each[method]["figures"][figure] for each in found]
        figures[figure] = mean_of(values, rows)
        gains = mean_of([_gain(each, method, figure) for each in found], rows)
        if gains is not None and gains["low"] > 0:
            better.append(figure)
    warnings = Counter(word for each in found for word in each[method]["warnings"])
    return {**figures, "better": better, "warnings": dict(warnings)}


def _gain(row: Mapping[str, Any], method: str, figure: str) -> float | None:
    """How much better than the random map of the same row."""
    own, random = (row[name]["figures"][figure] for name in (method, "random"))
    if own is None or random is None:
        return None
    return float(own - random) * (1 if figure in MORE_IS_BETTER else -1)


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
        yield method_name(options), _kept(figures, answer.trust["warnings"])
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
        yield name, _kept(figures, [])


def _examined(
    subject: Subject, question: Question, options: Options, answer: Attribution
) -> Mapping[str, Json]:
    found, trial = Found(), trial_of(subject, question, options, answer)
    for stage in (curves(trial, found), losses(trial, found)):
        for _ in stage:
            pass
    return found.figures


def _kept(figures: Mapping[str, Json], warnings: Sequence[str]) -> dict[str, Any]:
    """The figures that examinations have in common, and the first words of the warnings."""
    return {
        "figures": {figure: figures[figure] for figure in FIGURES},
        "warnings": [line.split(":")[0] for line in warnings],
    }
