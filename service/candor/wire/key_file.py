"""The file of keys: TOML, one table a key, each key as its hash.

[[key]]
name = "team-a"
sha256 = "9f86d081884c7d65..."  # or several, while one key takes over from another
models = ["photos", "digits"]   # all, where it is left out
requests_per_s = 50             # any number, where it is left out
burst = 100                     # a second's worth, where it is left out
concurrent = 8                  # any number, where it is left out
tenant = "research"             # shares its cached answers; by default nobody does
control = true                  # may load and unload models; by default it may not
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from candor.wire.callers import Limits

__all__ = ["KeyEntry", "read_keys"]

_NAME = re.compile(r"[ -~]{1,64}")
_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key, as the file has it.

    Attributes:
        hashes: SHA-256 of the key; of several keys, where one takes over from another.
        models: that may be used; None: all.
        tenant: whose cached answers these are.
    """

    name: str
    hashes: tuple[bytes, ...]
    models: frozenset[str] | None
    limits: Limits
    tenant: str
    control: bool


def read_keys(text: str) -> tuple[KeyEntry, ...]:
    """Read the whole file.

    Raises:
        ValueError: what is wrong with it; the words go on from the file's name.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from error
    tables = document.pop("key", [])
    if document or not _list_of(dict)(tables):
        raise ValueError("holds something else than [[key]] tables")
    entries = tuple(_entry(table, place) for place, table in enumerate(tables, 1))
    _refuse_twice("name", (entry.name for entry in entries))
    _refuse_twice("sha256", (each.hex() for entry in entries for each in entry.hashes))
    return entries


def _entry(table: Mapping[str, Any], place: int) -> KeyEntry:
    name = table.get("name")
    what = f"key {place} ('{name}')" if isinstance(name, str) else f"key {place}"
    for field, value in table.items():
        if field not in _FIELDS:
            raise ValueError(f"has in {what} a '{field}'; there are {', '.join(_FIELDS)}")
        fits, expected = _FIELDS[field]
        if not fits(value):
            raise ValueError(f"has in {what} a {field} that is no such thing; expected {expected}")
    for field in ("name", "sha256"):
        if field not in table:
            raise ValueError(f"has no {field} in {what}; expected {_FIELDS[field][1]}")
    hashes = [table["sha256"]] if isinstance(table["sha256"], str) else table["sha256"]
    rate = table.get("requests_per_s")
    burst = table.get("burst", 1 if rate is None else math.ceil(rate))
    return KeyEntry(
        name=table["name"],
        hashes=tuple(map(bytes.fromhex, hashes)),
        models=frozenset(table["models"]) if "models" in table else None,
        limits=Limits(rate, burst, table.get("concurrent")),
        tenant=table.get("tenant", table["name"]),
        control=table.get("control", False),
    )


def _list_of(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _is_hashes(value: object) -> bool:
    return _is_hash(value) or (
        isinstance(value, list) and bool(value) and all(map(_is_hash, value))
    )


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = MappingProxyType(
    {
        "name": (_is_name, "1 to 64 printable ASCII characters"),
        "sha256": (_is_hashes, "64 hexadecimal digits, or a list of such; candor keys makes them"),
        "models": (_list_of(str), "a list of models' names"),
        "requests_per_s": (_is_rate, "a number above 0"),
        "burst": (_is_count, "a whole number from 1"),
        "concurrent": (_is_count, "a whole number from 1"),
        "tenant": (_is_name, "1 to 64 printable ASCII characters"),
        "control": (_is_flag, "true or false"),
    }
)


def _refuse_twice(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"has the {what} '{value}' twice")
        seen.add(value)
