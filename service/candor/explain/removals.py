"""Random parts of a row to remove: cells of images and series, tokens, features."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from candor.explain.subject import Kind
from candor.result import Array

__all__ = ["Removals", "draw_removals"]

_CELLS: Mapping[Kind, int] = MappingProxyType({"image": 8, "series": 64})
"""Along each axis at most; a token or feature is a cell of its own."""

_SHARES: Mapping[Kind, int] = MappingProxyType({"image": 8, "series": 8, "tokens": 3, "tabular": 3})
"""One cell in so many is removed. All removals are of one size, or a map that is the same
everywhere would do well: larger ones cost more, wherever they are. Few cells of a picture go at
once, or hardly anything is left to tell removals by."""


@dataclass(frozen=True, slots=True)
class Removals:
    """n removals.

    Attributes:
        cells: int64 [positions], which cell holds a position.
        chosen: bool [n, cells], which cells each removes.
    """

    cells: Array
    chosen: Array

    def masks(self, part: slice) -> Array:
        """What some of them remove: bool [m, positions], in row-major order of the positions."""
        return np.asarray(self.chosen[part][:, self.cells])


def draw_removals(kind: Kind, removable: Array, n: int, rng: np.random.Generator) -> Removals:
    """Draw n removals: so many cells, of those that can be removed, each time drawn afresh.

    Args:
        kind: of the row.
        removable: bool, position-shaped; at least one is True.
        n: how many.
        rng: source of the draws.
    """
    cells = _cells(kind, removable.shape)
    places = np.unique(cells[removable.ravel()])
    n_removed = max(places.size // _SHARES[kind], 1)
    chosen = np.zeros((n, int(cells.max()) + 1), dtype=bool)
    for row in chosen:
        row[rng.permutation(places)[:n_removed]] = True
    return Removals(cells, chosen)


def _cells(kind: Kind, shape: tuple[int, ...]) -> Array:
    """Equal cells, numbered in row-major order."""
    numbers = np.zeros(1, dtype=np.int64)
    for size in shape:
        n_cells = min(size, _CELLS.get(kind, size))
        along = np.arange(size) * n_cells // size
        numbers = (numbers[:, None] * n_cells + along).ravel()
    return numbers
