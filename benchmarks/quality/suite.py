"""What is measured row by row, and what is kept of it, so that a run that ends early is no loss."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Row", "Suite", "measured"]

Row = dict[str, Any]
"""What was found of one row, as JSON."""


class Suite(NamedTuple):
    """Rows to measure, each by itself.

    Attributes:
        digest: of the model; rows of another one are measured anew.
        n: how many rows there are.
        measure: what is found of one of them.
        summary: what is told of all of them.
    """

    digest: str
    n: int
    measure: Callable[[int], Row]
    summary: Callable[[Sequence[Row]], Mapping[str, Any]]


def measured(suite: Suite, kept: Path, most_seconds: float) -> list[Row]:
    """The rows that are kept, and those that the time is enough for.

    Args:
        suite: what to measure.
        kept: file of what is already known, a line each; it grows.
        most_seconds: no row is begun after so many.
    """
    lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
    rows: list[Row] = [row for row in map(json.loads, lines) if row["digest"] == suite.digest]
    began = time.monotonic()
    with kept.open("a", encoding="utf-8") as file:
        for number in range(len(rows), suite.n):
            if time.monotonic() - began > most_seconds:
                break
            rows.append({"digest": suite.digest, **suite.measure(number)})
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    return rows[: suite.n]
