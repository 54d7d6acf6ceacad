"""How many rows one run of a program takes, and the cutting of a request's rows into such runs."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from candor.result import Array
from candor.runtime.programs.blueprint import Blueprint

__all__ = ["CACHED", "rows_at_once", "run_in_batches"]

CACHED = 224 * 224 * 3
"""Values of a picture, of which the first layers make some twenty times."""

_NARROW = 32 * 112 * 112
"""Values of the widest layer up to which two pictures in a run still share the cache."""


def rows_at_once(blueprint: Blueprint) -> int | None:
    """How many rows a run of a way back takes best on CPUs; None for as many as there are.

    Large pictures go one by one: several in a run were measured up to a third slower, and need so
    many times the memory. Where no layer is wide, two are faster (docs/performance.md).
    """
    row = (blueprint.graph.shape(blueprint.input) or ())[1:]
    extents = [extent for extent in row if isinstance(extent, int)]
    if blueprint.kind != "image" or len(extents) < len(row):
        return None
    at_once = CACHED // max(1, math.prod(extents))
    return max(at_once, 2 if _widest(blueprint) <= _NARROW else 1)


def _widest(blueprint: Blueprint) -> float:
    """How many values of a row the largest result of an operator has; infinite if not known."""
    graph = blueprint.graph
    widest = 0.0
    for value in (name for node in graph.nodes for name in node.output if name):
        extents = (graph.shape(value) or (None, None))[1:]
        widest = max(widest, math.prod(e if isinstance(e, int) else math.inf for e in extents))
    return widest


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
    if n == size or (n < size and not fill):
        return run(rows)
    parts = [run(piece) for piece in _batches(rows, n, size, fill=fill)]
    return {name: np.concatenate([part[name] for part in parts])[:n] for name in parts[0]}


def _batches(
    rows: Mapping[str, Array], n: int, size: int, *, fill: bool
) -> Iterator[dict[str, Array]]:
    for start in range(0, n, size):
        end = start + size if fill else min(start + size, n)
        index = np.minimum(np.arange(start, end), n - 1)
        yield {name: array[index] for name, array in rows.items()}
