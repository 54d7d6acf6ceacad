"""The manifest's `[input.statistics.FEATURE]`: what was in each column in training.

A column of numbers has `mean`, `std`, `low`, `high`, the inner borders of its bins (`edges`, its
quartiles usually) and of each bin `counts`, `means` and `stds`; a column of categories has
`values`, `counts` and, if they have names, `labels`.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from candor.errors import InvalidModel
from candor.geometry import CategoryColumn, Column, NumberColumn
from candor.runtime import toml

__all__ = ["read_statistics"]


def _numbers(value: Any, at: str, item: toml.Parser = toml.number) -> tuple[float, ...]:
    length = len(value) if isinstance(value, list) and value else 1
    numbers: tuple[float, ...] = toml.numbers(length, item=item)(value, at)
    return numbers


def _at_least_zero(value: Any, at: str) -> float:
    number = toml.number(value, at)
    if number < 0:
        raise InvalidModel(f"{at} must be at least 0, but is {number:g}")
    return number


def _each_at_least_zero(value: Any, at: str) -> tuple[float, ...]:
    return _numbers(value, at, _at_least_zero)


def _counts(value: Any, at: str) -> tuple[float, ...]:
    counts = _each_at_least_zero(value, at)
    if not any(counts):
        raise InvalidModel(f"{at} are all 0; some value must have occurred in training")
    return counts


def _rising(value: Any, at: str) -> tuple[float, ...]:
    numbers = _numbers(value, at)
    for before, after in pairwise(numbers):
        if before >= after:
            raise InvalidModel(f"{at} must rise, but {after:g} follows {before:g}")
    return numbers


_NUMBER: Mapping[str, toml.Parser] = {
    "mean": toml.number,
    "std": _at_least_zero,
    "low": toml.number,
    "high": toml.number,
    "edges": _rising,
    "counts": _counts,
    "means": _numbers,
    "stds": _each_at_least_zero,
}
_CATEGORY: Mapping[str, toml.Parser] = {
    "values": _rising,
    "counts": _counts,
    "labels": toml.strings,
}
_OPTIONAL = frozenset({"labels"})


def read_statistics(value: Any, at: str, features: Sequence[str]) -> tuple[Column, ...]:
    """Read the section: a table for each feature.

    Args:
        value: what TOML gave.
        at: where it stands, for messages.
        features: names of the columns, in their order.

    Raises:
        InvalidModel: a feature without a table or the other way round, an unknown or missing key, a
            wrong value, lists of unlike length.
    """
    if not features:
        raise InvalidModel(f"{at} needs input.features, the names of the columns in their order")
    parsers = dict.fromkeys(features, _column)
    tables = toml.read_table(value, f"{at}.", parsers)
    for feature in features:
        if feature not in tables:
            raise InvalidModel(f"{at} says nothing of '{feature}'; it takes every feature or none")
    return tuple(tables[feature] for feature in features)


def _column(value: Any, at: str) -> Column:
    is_category = isinstance(value, dict) and "values" in value
    parsers = _CATEGORY if is_category else _NUMBER
    keys = toml.read_table(value, f"{at}.", parsers)
    for key in parsers:
        if key not in keys and key not in _OPTIONAL:
            raise InvalidModel(f"{at}.{key} is missing")
    if is_category:
        _check_lengths(keys, at, len(keys["values"]), ("counts", "labels"))
        return CategoryColumn(**keys)
    if not keys["low"] <= keys["edges"][0] <= keys["edges"][-1] <= keys["high"]:
        raise InvalidModel(f"{at}.edges must lie between low and high")
    _check_lengths(keys, at, len(keys["edges"]) + 1, ("counts", "means", "stds"))
    return NumberColumn(**keys)


def _check_lengths(keys: Mapping[str, Any], at: str, wanted: int, names: Sequence[str]) -> None:
    for name in names:
        found = len(keys.get(name, ())) or wanted
        if found != wanted:
            raise InvalidModel(f"{at}.{name} has {found} entries, expected {wanted}")
