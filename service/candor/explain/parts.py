"""Rows of several inputs, laid end to end: where each input's part is, and a map for each.

An explainer computes on whole rows: what it does to each number is the same whatever input the
number is of. Only what depends on a position's place (sums over channels, padding, baselines) goes
by parts. A row of one input is its own only part.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from candor.explain.layout import position_shape, sum_channels, without_padding
from candor.explain.options import Channels, Options
from candor.explain.subject import Geometry
from candor.explain.trust import named
from candor.result import Array, Attribution, Json

__all__ = [
    "attributed",
    "end_to_end",
    "geometries",
    "map_names",
    "map_shapes",
    "mapped",
    "maps_of",
    "parts_of_maps",
    "rows_of_parts",
    "values_of_parts",
    "without_padding_of_parts",
]


def geometries(geometry: Geometry) -> tuple[Geometry, ...]:
    """How each part is laid out."""
    return tuple(part.geometry for part in geometry.parts) or (geometry,)


def rows_of_parts(x: Array, geometry: Geometry) -> list[Array]:
    """The parts [n, *shape] of rows [n, ...]; what is not explained is none."""
    if not geometry.parts:
        return [x]
    return list(_cut(x, [part.shape for part in geometry.parts]))


def values_of_parts(values: Array, geometry: Geometry) -> list[Array]:
    """As `rows_of_parts`, of the explained values."""
    if not geometry.parts:
        return [values]
    return list(_cut(values, [part.value_shape for part in geometry.parts]))


def end_to_end(parts: Sequence[Array], geometry: Geometry) -> Array:
    """Values of parts [n, ...] as values of rows."""
    if not geometry.parts:
        return parts[0]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def without_padding_of_parts(values: Array, x: Array, geometry: Geometry) -> Array:
    """As `layout.without_padding`, of rows of several inputs too."""
    if not geometry.parts:
        return without_padding(values, x, geometry)
    cut = zip(
        values_of_parts(values, geometry),
        rows_of_parts(x, geometry),
        geometries(geometry),
        strict=True,
    )
    return end_to_end([without_padding(value, row, own) for value, row, own in cut], geometry)


def maps_of(values: Array, geometry: Geometry, channels: Channels) -> list[Array]:
    """Attributions of the explained values [n, ...] as a map [n, ...] of each part."""
    return [
        sum_channels(part, own, channels)
        for part, own in zip(values_of_parts(values, geometry), geometries(geometry), strict=True)
    ]


def mapped(geometry: Geometry, options: Options) -> Geometry:
    """The geometry with those parts alone that a method has maps of: of a layer, by its inputs.

    `options` are resolved.
    """
    layer = getattr(options, "layer", None)
    if layer is None or not geometry.parts:
        return geometry
    return replace(geometry, parts=tuple(p for p in geometry.parts if layer in p.layers))


def map_names(geometry: Geometry) -> tuple[str, ...]:
    """What the map of each part is called by: its input, or "" where there is one map."""
    return tuple(part.name if part.shown else "" for part in geometry.parts) or ("",)


def map_shapes(row_shape: tuple[int, ...], geometry: Geometry) -> list[tuple[int, ...]]:
    """Shape of each part's positions."""
    if not geometry.parts:
        return [position_shape(row_shape, geometry)]
    return [position_shape(part.shape, part.geometry) for part in geometry.parts]


def parts_of_maps(maps: Array, row_shape: tuple[int, ...], geometry: Geometry) -> list[Array]:
    """Maps of all parts end to end, [n, all positions], as a map [n, ...] of each."""
    if not geometry.parts:
        return [maps]
    return list(_cut(maps, map_shapes(row_shape, geometry)))


def attributed(
    method: str,
    geometry: Geometry,
    maps: Sequence[Array],
    record: Callable[[Array, Geometry], Mapping[str, Json]],
    segments: Sequence[Array] | None = None,
) -> Attribution:
    """One attribution of all maps of a row, each with its own trust record.

    Args:
        method: by which.
        geometry: of the row.
        maps: of each part.
        record: makes the trust record of one map, of an input that is laid out so.
        segments: of each part, where the method groups positions.
    """
    grouped: Sequence[Array | None] = segments or [None] * len(maps)
    first, *others = (
        Attribution(
            method,
            values.astype(np.float32, copy=False),
            {**record(values, own), **named(own.features), **({"input": name} if name else {})},
            groups,
            input=name,
        )
        for name, own, values, groups in zip(
            map_names(geometry), geometries(geometry), maps, grouped, strict=True
        )
    )
    return replace(first, others=tuple(others)) if others else first


def _cut(rows: Array, shapes: Sequence[tuple[int, ...]]) -> Iterator[Array]:
    start = 0
    for shape in shapes:
        end = start + math.prod(shape)
        yield rows[:, start:end].reshape(len(rows), *shape)
        start = end
