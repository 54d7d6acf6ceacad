"""What the columns of the training records held, for the manifest: explanations draw by it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from zoo.manifest import Table
from zoo.sets.samples import Array

QUARTILES = (25, 50, 75)


def column_tables(
    records: Array, features: Sequence[str], categories: Mapping[str, Sequence[str]]
) -> dict[str, Table]:
    """Return the manifest's `[input.statistics.FEATURE]` tables, by their headings.

    Args:
        records: [n, f], of the training split, as the model takes them.
        features: names of the f columns.
        categories: of those that are no numbers, the names in the order of their codes.
    """
    columns = records.astype(np.float64).T
    return {
        f"input.statistics.{json.dumps(feature)}": (
            _category(values, categories[feature]) if feature in categories else _number(values)
        )
        for feature, values in zip(features, columns, strict=True)
    }


def _category(values: Array, names: Sequence[str]) -> Table:
    codes, counts = np.unique(values, return_counts=True)
    listed = [names[int(code)] if 0 <= code < len(names) else "other" for code in codes]
    return {"values": codes.tolist(), "counts": counts.tolist(), "labels": listed}


def _number(values: Array) -> Table:
    edges = np.unique(np.percentile(values, QUARTILES))
    bins = np.searchsorted(edges, values)
    parts = [values[bins == at] for at in range(len(edges) + 1)]
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "low": float(values.min()),
        "high": float(values.max()),
        "edges": edges.tolist(),
        "counts": [len(part) for part in parts],
        "means": [float(part.mean()) if len(part) else 0.0 for part in parts],
        "stds": [float(part.std()) if len(part) else 0.0 for part in parts],
    }
