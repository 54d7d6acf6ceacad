"""The `candor.*` parameters of an OIP request: what is asked, from flat names and scalar values.

    candor.explain             methods, comma-separated; naming an output candor.<method> asks too
                               (of several inputs candor.<method>.<input>)
    candor.<method>.<option>   an option of a method that is asked for
    candor.layer, candor.seed  for every asked method that takes one
    candor.target              class index or label, for all rows (or an input tensor, int64 [n])
    candor.targets             several, comma-separated; the answer gains an axis after the rows
    candor.output              which output of the graph is explained
    candor.explain_output      score or probability
    candor.cache               use, refresh or bypass
    candor.trust               basic, or full: every answer is examined, at about 100 runs each
    candor.explain_if          which rows are explained: "top_probability<0.6"; <=, >, >= as well
    candor.budget_ms           long methods return the best that they have after this time

Invariant: a name that begins with `candor.` is understood or refused, never passed over.
"""

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, get_args

from candor.engine.condition import parse_condition
from candor.engine.request import CachePolicy, Condition, TargetSpec
from candor.errors import InvalidOption
from candor.explain.options import METHODS, Options
from candor.explain.parse import parse_options
from candor.inference.v2 import grpc_service_pb2 as pb
from candor.result import Explained, TrustLevel

__all__ = ["PREFIX", "Question", "Scalars", "read_question", "scalars"]

PREFIX = "candor."

Scalars: TypeAlias = Mapping[str, bool | int | float | str]

_GENERAL = (
    "explain",
    "layer",
    "seed",
    "target",
    "targets",
    "output",
    "explain_output",
    "cache",
    "trust",
    "explain_if",
    "budget_ms",
)
_SHARED = ("layer", "seed")
_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {method: tuple(METHODS[method].__dataclass_fields__) for method in METHODS}
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the parameters ask.

    Attributes:
        methods: names and options, in the order asked.
        targets: for every row; () is the top class.
        several: whether the answer has an axis for the targets.
    """

    methods: Mapping[str, Options]
    targets: tuple[TargetSpec, ...]
    several: bool
    explained: Explained | None
    output: str | None
    cache: CachePolicy
    trust: TrustLevel
    condition: Condition | None
    budget_s: float | None


def scalars(parameters: Mapping[str, pb.InferParameter]) -> dict[str, bool | int | float | str]:
    """Read protobuf parameters into plain values.

    Raises:
        InvalidOption: a parameter of ours without a value.
    """
    values: dict[str, bool | int | float | str] = {}
    for name in parameters:
        parameter = parameters[name]
        kind = parameter.WhichOneof("parameter_choice")
        if kind is not None:
            values[name] = getattr(parameter, kind)
        elif name.startswith(PREFIX):
            raise InvalidOption(f"parameter '{name}' has no value")
    return values


def read_question(parameters: Scalars, outputs: Collection[str]) -> Question | None:
    """Read what is asked; None where nothing of ours is.

    Args:
        parameters: of the request, by full name; what is not `candor.*` is passed over.
        outputs: methods that are asked for by naming their output, without the prefix.

    Raises:
        InvalidOption: a parameter or method that does not exist, a value that it does not take, or
            a parameter without a method that it belongs to.
    """
    ours = {
        name.removeprefix(PREFIX): value
        for name, value in parameters.items()
        if name.startswith(PREFIX)
    }
    if not (ours or outputs):
        return None
    listed = [name.strip() for name in _text(ours, "explain", "").split(",")]
    asked = dict.fromkeys([*filter(None, listed), *outputs])
    _check_names(ours, asked)
    if not asked:
        if ours:
            raise InvalidOption(
                f"'{PREFIX}{next(iter(ours))}' is given, but no explanation is asked for; set "
                f"'candor.explain' to one or more of {', '.join(METHODS)}"
            )
        return None
    if "target" in ours and "targets" in ours:
        raise InvalidOption("candor.target and candor.targets are both given; expected one of them")
    return Question(
        methods={method: _options(method, ours) for method in asked},
        targets=_targets(ours),
        several="targets" in ours,
        explained=_word(ours, "explain_output", get_args(Explained), None),
        output=_text(ours, "output", "") or None,
        cache=_word(ours, "cache", get_args(CachePolicy), "use"),
        trust=_word(ours, "trust", get_args(TrustLevel), "basic"),
        condition=_condition(ours),
        budget_s=_budget_s(ours),
    )


def _check_names(ours: Scalars, asked: Mapping[str, None]) -> None:
    for method in asked:
        if method not in METHODS:
            _refuse(f"unknown method '{method}'", method, METHODS)
    for name in ours:
        method, _, option = name.partition(".")
        if name in _GENERAL:
            continue
        if option not in _OPTIONS.get(method, ()):
            known = [*_GENERAL, *(f"{m}.{o}" for m in asked or METHODS for o in _OPTIONS[m])]
            full = [PREFIX + each for each in known]
            _refuse(f"unknown parameter '{PREFIX}{name}'", PREFIX + name, full)
        if method not in asked:
            raise InvalidOption(
                f"'{PREFIX}{name}' is given, but {method} is not asked for; "
                f"candor.explain is '{','.join(asked)}'"
            )
    if "layer" in ours and not any("layer" in _OPTIONS[method] for method in asked):
        raise InvalidOption(f"candor.layer is given, but {', '.join(asked)} takes no layer")


def _refuse(what: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    close = difflib.get_close_matches(name[:80], names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise InvalidOption(f"{what}; {hint}There are: {', '.join(names)}")


def _options(method: str, ours: Scalars) -> Options:
    given = {name: ours[name] for name in _SHARED if name in ours and name in _OPTIONS[method]}
    prefix = f"{method}."
    given |= {k.removeprefix(prefix): v for k, v in ours.items() if k.startswith(prefix)}
    return parse_options(method, given)


def _targets(ours: Scalars) -> tuple[TargetSpec, ...]:
    target = ours.get("target", ours.get("targets"))
    if target is None:
        return ()
    if isinstance(target, bool | float):
        raise InvalidOption(f"candor.target is {target!r}; expected a class index or a label")
    if isinstance(target, int) or "target" in ours:
        return (TargetSpec(target),)
    parts = [part.strip() for part in target.split(",")]
    if not all(parts):
        raise InvalidOption(f"candor.targets is '{target}'; expected targets between its commas")
    return tuple(map(TargetSpec, parts))


def _text(ours: Scalars, name: str, default: str) -> str:
    value = ours.get(name, default)
    if not isinstance(value, str):
        raise InvalidOption(f"candor.{name} is {value!r}; expected text")
    return value


def _word(ours: Scalars, name: str, words: tuple[Any, ...], default: Any) -> Any:
    value = ours.get(name, default)
    if name in ours and value not in words:
        raise InvalidOption(f"candor.{name} is {value!r}; expected one of {', '.join(words)}")
    return value


def _condition(ours: Scalars) -> Condition | None:
    return parse_condition(_text(ours, "explain_if", "")) if "explain_if" in ours else None


def _budget_s(ours: Scalars) -> float | None:
    value = ours.get("budget_ms")
    if value is None:
        return None
    try:
        milliseconds = math.nan if isinstance(value, bool) else float(value)
    except ValueError:
        milliseconds = math.nan
    if not (math.isfinite(milliseconds) and milliseconds > 0):
        raise InvalidOption(f"candor.budget_ms is {value!r}; expected a number above 0")
    return milliseconds / 1000
