"""Statistics of a column as a manifest has them, from its values."""

import numpy as np

from candor.geometry import CategoryColumn, NumberColumn
from candor.result import Array


def number_column(values: Array) -> NumberColumn:
    """Binned by its quartiles."""
    edges = np.unique(np.percentile(values, (25, 50, 75)))
    parts = [values[np.searchsorted(edges, values) == at] for at in range(len(edges) + 1)]
    return NumberColumn(
        mean=values.mean(),
        std=values.std(),
        low=values.min(),
        high=values.max(),
        edges=tuple(edges.tolist()),
        counts=tuple(len(part) for part in parts),
        means=tuple(part.mean() if len(part) else 0.0 for part in parts),
        stds=tuple(part.std() if len(part) else 0.0 for part in parts),
    )


def category_column(values: Array, labels: tuple[str, ...] = ()) -> CategoryColumn:
    """Its values and how often each occurred."""
    found, counts = np.unique(values, return_counts=True)
    return CategoryColumn(tuple(found.tolist()), tuple(counts.tolist()), labels)
