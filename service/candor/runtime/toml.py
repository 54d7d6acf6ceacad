"""Read a TOML table key by key: every value has a parser, and an unknown key is an error.

A parser takes the value and where it stands (`model.toml: input.size`), for its message.
"""

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

from candor.errors import InvalidModel

__all__ = [
    "Parser",
    "flag",
    "number",
    "numbers",
    "one_of",
    "read_table",
    "string",
    "strings",
    "whole",
]

Parser: TypeAlias = Callable[[Any, str], Any]


def read_table(table: Any, at: str, parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """Parse the keys that are there.

    Args:
        table: what TOML gave.
        at: where it stands; ends in `: ` for the file itself, in `.` for a section.
        parsers: every key that may stand in it.

    Raises:
        InvalidModel: not a table, an unknown key, or a value that its parser refuses.
    """
    if not isinstance(table, dict):
        raise InvalidModel(f"{at.rstrip('.: ')} must be a table, not {_spell(table)}")
    for key in table:
        if key not in parsers:
            close = get_close_matches(key, parsers, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(parsers)}"
            raise InvalidModel(f"{at}{key} is not a known key; {hint}")
    return {key: parsers[key](value, f"{at}{key}") for key, value in table.items()}


def string(value: Any, at: str) -> str:
    """Take a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidModel(f"{at} must be a text, not {_spell(value)}")
    return value


def strings(value: Any, at: str) -> tuple[str, ...]:
    """Take a list of texts, none empty and none twice."""
    if not isinstance(value, list) or not value:
        raise InvalidModel(f"{at} must be a list of texts, not {_spell(value)}")
    first: dict[str, int] = {}
    for index, item in enumerate(value):
        text = string(item, f"{at}[{index}]")
        if text in first:
            raise InvalidModel(f"{at}[{index}] repeats '{text}' of entry {first[text]}")
        first[text] = index
    return tuple(first)


def one_of(*choices: str) -> Parser:
    """Take one of the texts."""

    def parse(value: Any, at: str) -> str:
        if value in choices and isinstance(value, str):
            return value
        raise InvalidModel(f"{at} must be one of {', '.join(choices)}, not {_spell(value)}")

    return parse


def flag(value: Any, at: str) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise InvalidModel(f"{at} must be true or false, not {_spell(value)}")
    return value


def whole(low: int, high: int) -> Parser:
    """Take a whole number between low and high, both included."""

    def parse(value: Any, at: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidModel(
                f"{at} must be a whole number from {low} to {high}, not {_spell(value)}"
            )
        return value

    return parse


def number(value: Any, at: str) -> float:
    """Take a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidModel(f"{at} must be a finite number, not {_spell(value)}")
    return float(value)


def numbers(*lengths: int, item: Parser = number) -> Parser:
    """Take a list of one of these lengths."""

    def parse(value: Any, at: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) not in lengths:
            wanted = " or ".join(map(str, lengths))
            raise InvalidModel(f"{at} must be a list of {wanted} numbers, not {_spell(value)}")
        return tuple(item(entry, f"{at}[{index}]") for index, entry in enumerate(value))

    return parse


def _spell(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
