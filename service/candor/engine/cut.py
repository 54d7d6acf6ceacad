"""Rows and answers as each would be alone: no answer depends on what came in the same request.

Texts of one request are padded to the longest. A model need not ignore padding, and a key that
covers it would make the same text another question beside every neighbour; so each text is run and
explained at its own length wherever the graph leaves the length free.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from candor.result import Array, Attribution, TextView, View

__all__ = ["Batch", "cut_to_view", "groups_of", "joined", "row_of", "segments_of", "x_of"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a request.

    Attributes:
        tensors: the model's inputs, n rows.
        x: the rows as explainers take them: the input that is explained, or several end to end.
        lengths: of each row along its first axis, where the rest pads it to the longest; else ().
    """

    tensors: Mapping[str, Array]
    x: Array
    lengths: tuple[int, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows of the request."""
        return len(self.x)


def row_of(batch: Batch, row: int) -> dict[str, Array]:
    """The inputs of one row, [1, ...]; all of an input that has no rows."""
    return _part(batch, [row])


def x_of(batch: Batch, rows: Sequence[int]) -> Array:
    """Rows of one length as explainers take them."""
    chosen: Array = batch.x[_chosen(rows)]
    return chosen[:, : batch.lengths[rows[0]]] if batch.lengths else chosen


def groups_of(
    batch: Batch, rows: Iterable[int]
) -> Iterator[tuple[Sequence[int], dict[str, Array]]]:
    """Rows that can run together, those of the same length, with their inputs."""
    groups: dict[int | None, list[int]] = defaultdict(list)
    for row in rows:
        groups[batch.lengths[row] if batch.lengths else None].append(row)
    for group in groups.values():
        yield group, _part(batch, group)


def segments_of(batch: Batch, row: int, segments: Array | None) -> Array | None:
    """The caller's own segments of one row, as far as the row goes."""
    if segments is None:
        return None
    own: Array = segments[row]
    as_padded = own.shape == batch.x.shape[1:]
    return own[: batch.lengths[row]] if batch.lengths and as_padded else own


def cut_to_view(attribution: Attribution, view: View | None) -> Attribution:
    """One value for each token of the text, also where the graph wants a fixed length."""
    if not isinstance(view, TextView) or len(attribution.values) <= len(view.tokens):
        return attribution
    n_tokens, segments = len(view.tokens), attribution.segments
    return replace(
        attribution,
        values=attribution.values[:n_tokens],
        segments=None if segments is None else segments[:n_tokens],
    )


def joined(rows: Sequence[Array]) -> Array:
    """Rows [1, ...] as one array; those that are shorter than others are filled up with 0."""
    if len({array.shape for array in rows}) == 1:
        return np.concatenate(rows)
    longest = tuple(max(sizes) for sizes in zip(*(array.shape for array in rows), strict=True))
    filled = np.zeros((len(rows), *longest[1:]), dtype=rows[0].dtype)
    for row, array in enumerate(rows):
        filled[row][tuple(map(slice, array.shape[1:]))] = array[0]
    return filled


def _chosen(rows: Sequence[int]) -> slice | list[int]:
    first, last = rows[0], rows[-1] + 1
    # A slice is no copy, and a request's rows mostly come in one.
    return slice(first, last) if last - first == len(rows) else list(rows)


def _part(batch: Batch, rows: Sequence[int]) -> dict[str, Array]:
    chosen = _chosen(rows)
    part = {
        name: array[chosen] if array.shape[:1] == (batch.n_rows,) else array
        for name, array in batch.tensors.items()
    }
    if batch.lengths:  # only of texts, which are the one input there is
        part = {name: array[:, : batch.lengths[rows[0]]] for name, array in part.items()}
    return part
