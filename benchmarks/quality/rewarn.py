"""The warnings of rows that were measured before, found anew: where there is a new one.

Deletions, insertions and the rest depend on the maps alone, and are kept as they are. Explaining
again is the smaller part of the work.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.rows import Rows, asked_of, explained, rows_of
from benchmarks.quality.suite import Row
from candor.explain.examination import Found, trial_of
from candor.explain.explainers import INTERACTIVE, in_slices
from candor.explain.options import Options
from candor.explain.parse import method_name
from candor.explain.question import Question
from candor.explain.repeats import other_class
from candor.result import Array

__all__ = ["rewarn"]


def rewarn(name: str, root: Path, count: int, seed: int, kept: Path) -> None:
    """Explain the rows of a file again, and put what they are warned of in the place of what was.

    Rows of another model, and those past `count`, are left out of it.
    """
    rows = rows_of(name, root, count, seed)
    lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
    old: list[Row] = [row for row in map(json.loads, lines) if row["digest"] == rows.digest]
    new = [
        {**row, "methods": _methods(rows, x, row["methods"])}
        for row, x in zip(old, rows.rows, strict=False)
    ]
    kept.write_text("".join(json.dumps(row) + "\n" for row in new), encoding="utf-8")


def _methods(rows: Rows, x: Array, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of one row: what was known of each method (random maps too), with its warnings found anew."""
    found = {
        method: {"figures": {**each["figures"], "class_correlation": None}, "warnings": []}
        for method, each in known.items()
    }
    for options in asked_of(rows.model):
        of = found[method_name(options)]
        warnings, alike = _warned(rows, x, options)
        of["warnings"] = [line.split(":")[0] for line in warnings]
        of["figures"]["class_correlation"] = alike
    return found


def _warned(rows: Rows, x: Array, options: Options) -> tuple[list[str], float | None]:
    """What one method says, and how alike its map of another class is, where that is asked."""
    subject, question = rows.model.subject(), Question(x)
    answer = explained(subject, question, options)
    warnings, found = list(answer.trust["warnings"]), Found()
    if type(options) in INTERACTIVE:
        trial = trial_of(subject, question, options, answer)
        for _ in other_class(trial, found, lambda q: in_slices(subject, q, options), 0, None):
            pass
    return warnings + found.warnings, found.figures["class_correlation"]
