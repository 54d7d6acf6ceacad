"""How many rows one run of a program takes, and the cutting of a request's rows into such runs."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from candor.result import Array
from candor.runtime.programs.blueprint import Blueprint

__all__ = ["batches", "rows_at_once"]

_CACHED = 224 * 224 * 3  # values of a picture, of which the first layers make some twenty times


def rows_at_once(blueprint: Blueprint) -> int | None:
    """How many rows a run of a way back takes best on CPUs; None for as many as there are.

    Several large pictures in one run were never measured to be faster than one by one, and up to a
    third slower (docs/performance.md); they also need so many times the memory.
    """
    row = (blueprint.graph.shape(blueprint.input) or ())[1:]
    extents = [extent for extent in row if isinstance(extent, int)]
    if blueprint.kind != "image" or len(extents) < len(row):
        return None
    return max(1, _CACHED // max(1, math.prod(extents)))


def batches(
    rows: Mapping[str, Array], n: int, size: int, *, fill: bool
) -> Iterator[dict[str, Array]]:
    """Cut n rows into batches of this size; where asked to, the last row fills the last one up."""
    for start in range(0, n, size):
        end = start + size if fill else min(start + size, n)
        index = np.minimum(np.arange(start, end), n - 1)
        yield {name: array[index] for name, array in rows.items()}
