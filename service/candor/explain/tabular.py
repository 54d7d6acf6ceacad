"""Records drawn as the training data had them, exactly as the lime package draws them.

A column of numbers is drawn bin by bin: first the bin, by how often it occurred, then a number in
it, from a normal distribution with the bin's mean and deviation, cut off at its borders. A category
is drawn by how often it occurred. What the linear model sees of a record is, of each column,
whether it stands in the explained record's bin, or holds its category.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from candor.errors import InvalidInput
from candor.explain.steps import ended
from candor.geometry import CategoryColumn, Column, NumberColumn
from candor.result import Array

__all__ = [
    "Drawn",
    "conditions",
    "draw_records",
    "drawing_records",
    "record_names",
    "typical_record",
    "unseen",
]

_NO_SPREAD = 1e-11
"""Added by lime to the deviation of each bin, so that no bin has none."""

_CHUNK = 10_000
"""Numbers of a column drawn in one go: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Records, the explained one first.

    Attributes:
        records: float64 [m, f], as the model takes them.
        design: float64 [m, f], what the linear model sees of them: 1 where a column is as in the
            first record and 0 where not; undiscretised numbers in deviations from their mean.
    """

    records: Array
    design: Array


def draw_records(
    columns: Sequence[Column], record: Array, n_samples: int, seed: int, *, discretise: bool
) -> Drawn:
    """Draw records as `drawing_records`, without a pause."""
    return ended(drawing_records(columns, record, n_samples, seed, discretise=discretise))


def drawing_records(
    columns: Sequence[Column], record: Array, n_samples: int, seed: int, *, discretise: bool
) -> Generator[int, None, Drawn]:
    """Draw records around one; of many, yields now and then how many numbers are drawn.

    Args:
        columns: f of them, of the training data.
        record: [f].
        n_samples: m, the record itself counted.
        seed: of numpy's legacy generator, which lime's is too.
        discretise: whether numbers are drawn and seen by their bins; else they are normal numbers
            with the column's mean and deviation.

    Raises:
        InvalidInput: another number of columns.
    Source: LimeTabularExplainer of lime 0.2.0.1, its `sample_around_instance` off. Where all of
        a bin's training values are one, lime puts 0 in its place; here that value stands.
    """
    if record.shape != (len(columns),):
        raise InvalidInput(
            f"the record has shape {list(record.shape)}, the manifest knows {len(columns)} columns"
        )
    row = record.astype(np.float64)
    generator = np.random.RandomState(seed)
    if discretise:
        return (yield from _binned(columns, row, n_samples, generator))
    return _normal(columns, row, n_samples, generator)


def conditions(
    columns: Sequence[Column], features: Sequence[str], record: Array, *, discretise: bool
) -> list[str]:
    """What each coefficient stands for, in lime's words: `age > 48.00`, `sex=Male`."""
    return [
        _condition(column, name, value, discretise=discretise)
        for column, name, value in zip(columns, features, record.tolist(), strict=True)
    ]


def record_names(columns: Sequence[Column], features: Sequence[str], record: Array) -> list[str]:
    """Each column with what the record has in it, [f] of them: `age 39`, `sex=Male`."""
    values = record.tolist()
    names = features or [f"feature {at}" for at in range(len(values))]
    known: Sequence[Column | None] = columns or [None] * len(values)
    return [
        f"{name}={_label(column, value)}"
        if isinstance(column, CategoryColumn)
        else f"{name} {value:.5g}"
        for column, name, value in zip(known, names, values, strict=True)
    ]


def unseen(columns: Sequence[Column], features: Sequence[str], record: Array) -> list[str]:
    """What of a record the training data never had: `age 104`, `country -1`."""
    return [
        f"{name} {value:g}"
        for column, name, value in zip(columns, features, record.tolist(), strict=True)
        if not (
            value in column.values
            if isinstance(column, CategoryColumn)
            else column.low <= value <= column.high
        )
    ]


def typical_record(columns: Sequence[Column]) -> Array:
    """The mean of each column of numbers, the most frequent of each column of categories: [f]."""
    return np.array(
        [
            column.mean
            if isinstance(column, NumberColumn)
            else column.values[int(np.argmax(column.counts))]
            for column in columns
        ]
    )


def _binned(
    columns: Sequence[Column], row: Array, n_samples: int, generator: np.random.RandomState
) -> Generator[int, None, Drawn]:
    chosen = [_choose(column, n_samples, generator) for column in columns]
    records, design = np.empty((2, n_samples, len(columns)))
    for at, (column, picked) in enumerate(zip(columns, chosen, strict=True)):
        if isinstance(column, CategoryColumn):
            records[:, at], design[:, at] = _category(column, picked, row[at])
        else:
            design[:, at] = picked == _bin(column, row[at])
            for start in range(1, n_samples, _CHUNK):  # lime draws none for the explained record
                part = slice(start, start + _CHUNK)
                records[part, at] = _within(column, picked[part], generator)
                if n_samples > _CHUNK:
                    yield at * n_samples + start
    records[0], design[0] = row, 1.0
    return Drawn(records, design)


def _normal(
    columns: Sequence[Column], row: Array, n_samples: int, generator: np.random.RandomState
) -> Drawn:
    design = generator.normal(0.0, 1.0, n_samples * len(columns)).reshape(n_samples, len(columns))
    records = np.empty_like(design)
    for at, column in enumerate(columns):
        if isinstance(column, CategoryColumn):
            picked = _choose(column, n_samples, generator)
            records[:, at], design[:, at] = _category(column, picked, row[at])
            design[0, at] = 1.0
        else:
            scale = column.std or 1.0
            records[:, at] = design[:, at] * scale + column.mean
            design[0, at] = (row[at] - column.mean) / scale
    records[0] = row
    return Drawn(records, design)


def _choose(column: Column, n_samples: int, generator: np.random.RandomState) -> Array:
    """Places of bins or categories, int [m], by how often they occurred."""
    counts = np.asarray(column.counts)
    return generator.choice(len(counts), n_samples, p=counts / counts.sum())


def _category(column: CategoryColumn, picked: Array, own: float) -> tuple[Array, Array]:
    drawn = np.asarray(column.values)[picked]
    return drawn, drawn == own


def _bin(column: NumberColumn, value: float) -> int:
    return int(np.searchsorted(column.edges, value))


def _within(column: NumberColumn, bins: Array, generator: np.random.RandomState) -> Array:
    """A number for each bin, float64 [m]: a normal one, cut off at the bin's borders."""
    low = np.array((column.low, *column.edges))[bins]
    high = np.array((*column.edges, column.high))[bins]
    mean, std = np.array(column.means)[bins], np.array(column.stds)[bins] + _NO_SPREAD
    wide = low < high
    drawn = low.copy()
    uniform = generator.uniform(size=int(np.count_nonzero(wide)))
    a, b = ((edge - mean)[wide] / std[wide] for edge in (low, high))
    drawn[wide] = mean[wide] + std[wide] * _truncated_normal(uniform, a, b)
    return np.asarray(np.clip(drawn, low, high))


def _truncated_normal(uniform: Array, a: Array, b: Array) -> Array:
    """Quantiles of the standard normal distribution between a < b, computed in its left tail."""
    special = scipy.special
    mirrored = a >= 0
    low, high = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    with np.errstate(divide="ignore"):  # a uniform number may be 0
        log_share = np.where(mirrored, np.log1p(-uniform), np.log(uniform))
        below_low, below_high = special.log_ndtr(low), special.log_ndtr(high)
        mass = np.where(
            high <= 0,
            below_high + np.log1p(-np.exp(np.minimum(below_low - below_high, 0.0))),
            np.log1p(-special.ndtr(low) - special.ndtr(-high)),
        )
    quantile = special.ndtri_exp(np.logaddexp(below_low, log_share + mass))
    return np.asarray(np.where(mirrored, -quantile, quantile))


def _condition(column: Column, name: str, value: float, *, discretise: bool) -> str:
    if isinstance(column, CategoryColumn):
        return f"{name}={_label(column, value)}"
    if not discretise:
        return name
    at, edges = _bin(column, value), column.edges
    if at == 0:
        return f"{name} <= {edges[0]:.2f}"
    if at == len(edges):
        return f"{name} > {edges[-1]:.2f}"
    return f"{edges[at - 1]:.2f} < {name} <= {edges[at]:.2f}"


def _label(column: CategoryColumn, value: float) -> str:
    if value in column.values and column.labels:
        return column.labels[column.values.index(value)]
    return f"{value:g}"
