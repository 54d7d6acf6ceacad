"""How many rows one run of a program takes, and the cutting of a request's rows into such runs."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from candor.result import Array
from candor.runtime.programs.blueprint import Blueprint

__all__ = ["CACHED", "rows_at_once", "run_in_batches"]

CACHED = 224 * 224 * 3
"""Values of a picture, of which the first layers make some twenty times."""


def rows_at_once(blueprint: Blueprint) -> int | None:
    """How many rows a run of a way back takes best on CPUs; None for as many as there are.

    Several large pictures in one run were never measured to be faster than one by one, and up to a
    third slower (docs/performance.md); they also need so many times the memory.
    """
    row = (blueprint.graph.shape(blueprint.input) or ())[1:]
    extents = [extent for extent in row if isinstance(extent, int)]
    if blueprint.kind != "image" or len(extents) < len(row):
        return None
    return max(1, CACHED // max(1, math.prod(extents)))


def run_in_batches(
    run: Callable[[Mapping[str, Array]], dict[str, Array]],
    rows: Mapping[str, Array],
    size: int,
    *,
    fill: bool,
) -> dict[str, Array]:
    """Run so many rows at a time, and put the answers together.

    Args:
        run: one run.
        rows: inputs, n rows each.
        size: of a run.
        fill: whether every run must have that size: the last row is repeated in the last one.
    """
    n = len(next(iter(rows.values())))
    parts = [run(piece) for piece in _batches(rows, n, size, fill=fill)]
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}


def _batches(
    rows: Mapping[str, Array], n: int, size: int, *, fill: bool
) -> Iterator[dict[str, Array]]:
    for start in range(0, n, size):
        end = start + size if fill else min(start + size, n)
        index = np.minimum(np.arange(start, end), n - 1)
        yield {name: array[index] for name, array in rows.items()}
