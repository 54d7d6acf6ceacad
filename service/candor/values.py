"""Settings are texts first: what they may say, and what they are then."""

from collections.abc import Callable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

from candor.engine.cores import eighth_of_memory, usable_cores

__all__ = [
    "COMPUTED",
    "address",
    "address_or_none",
    "declared",
    "flag",
    "milliseconds",
    "names",
    "not_negative",
    "one_of",
    "positive",
    "seconds",
    "share",
]

_FLAGS: Mapping[str, bool] = MappingProxyType({"true": True, "1": True, "false": False, "0": False})

COMPUTED: Mapping[object, str] = MappingProxyType(
    {usable_cores: "the cores at hand", eighth_of_memory: "an eighth of memory"}
)
"""What is said of defaults that are found out."""


def declared(default: object, parse: Callable[[str], object], help_: str, unit: str = "") -> Any:
    """A field of a dataclass of settings.

    Args:
        default: a value, or what finds one out.
        parse: makes a value of a text.
        help_: for documentation and the command line.
        unit: of a number.
    """
    metadata = {"parse": parse, "help": help_, "unit": unit}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def positive(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0)


def seconds(text: str) -> float:
    """A duration."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10**9:
        raise ValueError("expected a number of seconds, 0 or more")
    return value


def share(text: str) -> float:
    """A part of a whole."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError("expected a number from 0 to 1")
    return value


def milliseconds(text: str) -> float:
    """A short wait."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 10_000:
        raise ValueError("expected a number of milliseconds, 0 to 10000")
    return value


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise ValueError("expected at least one name, separated by commas")
    return found


def address(text: str) -> str:
    """Host and port."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected host:port, for example 127.0.0.1:8001")
    return text


def address_or_none(text: str) -> str:
    """Host and port, or nothing."""
    return address(text) if text else ""


def flag(text: str) -> bool:
    """Yes or no."""
    if text.lower() not in _FLAGS:
        raise ValueError("expected true or false")
    return _FLAGS[text.lower()]


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse


def _whole(text: str, least: int) -> int:
    # Words of our own: Python's speak of literals and bases.
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"expected a whole number of at least {least}")
    return value
