"""Options from flat values and back; what leaves here is in range, whoever wrote it.

`parse_options(method, to_json(options)) == options` for every value that passes `check_options`.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

from candor.errors import InvalidOption
from candor.explain.options import METHODS, Options
from candor.explain.spec import OptionKind, Spec
from candor.result import Json

__all__ = ["check_options", "describe", "method_name", "parse_options", "to_json"]

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FLAGS = MappingProxyType({"true": True, "1": True, "false": False, "0": False})
_NAMES: Mapping[type[Options], str] = MappingProxyType(
    {kind: name for name, kind in METHODS.items()}
)


def parse_options(method: str, given: Mapping[str, str | int | float | bool]) -> Options:
    """Build a method's options from flat values, numbers possibly written as text.

    Args:
        method: a key of `METHODS`.
        given: value by option name; options left out keep their default.

    Raises:
        InvalidOption: unknown method or option, a value of the wrong type or out of range.
    """
    if method not in METHODS:
        raise InvalidOption(_unknown("method", method, METHODS))
    specs = _specs(METHODS[method])
    for name in given:
        if name not in specs:
            raise InvalidOption(_unknown(f"option of {method}", name, specs))
    values = {name: _parse(method, name, raw, specs[name]) for name, raw in given.items()}
    return METHODS[method](**values)


def check_options(options: Options) -> None:
    """Refuse options that were built by hand (a typed request) with values out of range.

    Raises:
        InvalidOption: a value of the wrong type or out of range, NaN and infinity included.
    """
    method = method_name(options)
    for name, spec in _specs(type(options)).items():
        value = getattr(options, name)
        if value == _default(options, name) and type(value) is type(_default(options, name)):
            continue
        parsed = _parse(method, name, value, spec)
        if isinstance(value, str) != isinstance(parsed, str):
            raise InvalidOption(_mismatch(method, name, value, spec))


def method_name(options: Options) -> str:
    """The public name of the method that these options belong to."""
    return _NAMES[type(options)]


def to_json(options: Options) -> dict[str, Json]:
    """Flat values that `parse_options` reads back; what is left to the method stays out.

    `window` and `stride` become text ("8,8"), as on the wire.
    """
    flat: dict[str, Json] = {}
    for name in _specs(type(options)):
        value = getattr(options, name)
        if isinstance(value, tuple):
            value = ",".join(map(str, value)) or None
        if value is not None:
            flat[name] = value
    return flat


def describe(method: str) -> dict[str, Json]:
    """A method and its options for documentation, model configuration and command line.

    Returns:
        `{"method", "help", "options": [{"name", "type", "default", "low", "high", "choices",
        "unit", "help"}]}`; a default of None is left to the method.

    Raises:
        InvalidOption: unknown method.
    """
    if method not in METHODS:
        raise InvalidOption(_unknown("method", method, METHODS))
    kind = METHODS[method]
    defaults = to_json(kind())
    options: list[Json] = [
        {
            "name": name,
            "type": spec.kind,
            "default": defaults.get(name),
            "low": spec.low,
            "high": spec.high,
            "choices": list(spec.choices),
            "unit": spec.unit,
            "help": spec.help,
        }
        for name, spec in _specs(kind).items()
    ]
    summary = (kind.__doc__ or "").splitlines()[0]
    return {"method": method, "help": summary, "options": options}


# One reader for each kind of option: (raw, spec) -> value, None where raw is not of the kind ------


def _integer(raw: object, spec: Spec) -> int | None:
    if isinstance(raw, str):
        value = int(raw) if _INTEGER.fullmatch(raw.strip()) else None
    elif isinstance(raw, float):
        value = int(raw) if raw.is_integer() else None
    else:
        value = raw if _is_integer(raw) else None
    return value if value is not None and _within(value, spec) else None


def _number(raw: object, spec: Spec) -> float | None:
    if isinstance(raw, str):
        value = float(raw) if _NUMBER.fullmatch(raw.strip()) else math.nan
    else:
        value = float(raw) if isinstance(raw, float) or _is_integer(raw) else math.nan
    return value if math.isfinite(value) and _within(value, spec) else None


def _flag(raw: object, _: Spec) -> bool | None:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) or _is_integer(raw):
        return _FLAGS.get(str(raw).strip().lower())
    return None


def _choice(raw: object, spec: Spec) -> str | None:
    return raw if isinstance(raw, str) and raw in spec.choices else None


def _name(raw: object, _: Spec) -> str | None:
    return raw if isinstance(raw, str) and 0 < len(raw) <= 1000 else None


def _integers(raw: object, spec: Spec) -> tuple[int, ...] | None:
    parts = raw.split(",") if isinstance(raw, str) else raw
    listed = parts if isinstance(parts, tuple | list) else (parts,)
    values = tuple(value for part in listed[:9] if (value := _integer(part, spec)) is not None)
    return values if values and len(values) == len(listed) else None


def _choice_or_number(raw: object, spec: Spec) -> str | float | None:
    word = _choice(raw, spec)
    return word if word is not None else _number(raw, spec)


_READERS: Mapping[OptionKind, Callable[[object, Spec], Any]] = MappingProxyType(
    {
        "integer": _integer,
        "number": _number,
        "flag": _flag,
        "choice": _choice,
        "name": _name,
        "integers": _integers,
        "choice or number": _choice_or_number,
    }
)


def _parse(method: str, name: str, raw: object, spec: Spec) -> Any:
    value = _READERS[spec.kind](raw, spec)
    if value is None:
        raise InvalidOption(_mismatch(method, name, raw, spec))
    return value


def _specs(kind: type[Options]) -> dict[str, Spec]:
    return {field.name: field.metadata["spec"] for field in dataclasses.fields(kind)}


def _default(options: Options, name: str) -> object:
    return getattr(type(options)(), name)


def _is_integer(raw: object) -> TypeGuard[int]:
    return isinstance(raw, int) and not isinstance(raw, bool)


def _within(value: float, spec: Spec) -> bool:
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    return low <= value <= high


# What the caller is told -------------------------------------------------------------------------


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(str(name).lower().replace("-", "_")[:60], known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"unknown {what} {_shown(name)}; {hint}There are: {', '.join(known)}"


def _mismatch(method: str, name: str, raw: object, spec: Spec) -> str:
    message = f"{method}.{name} is {_shown(raw)}, expected {_expected(spec)}"
    if isinstance(raw, str) and (close := difflib.get_close_matches(raw, spec.choices, n=1)):
        message += f"; did you mean '{close[0]}'?"
    return message


def _expected(spec: Spec) -> str:
    words = " | ".join(f"'{choice}'" for choice in spec.choices)
    span = f" from {spec.low:,g} to {spec.high:,g}" if spec.low is not None else ""
    return {
        "integer": f"an integer{span}",
        "number": f"a number{span}",
        "flag": "true or false",
        "choice": words,
        "name": "the name of a value in the graph",
        "integers": f"integers{span}, like '8' or '8,8'",
        "choice or number": f"{words} or a number{span}",
    }[spec.kind]


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."
