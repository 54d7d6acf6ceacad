"""JSON that came over HTTP, looked at piece by piece; and messages as JSON.

What is wrong is told by its place in the document, as `inputs[0].shape`.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from candor.errors import InvalidArgument
from candor.inference.v2 import grpc_service_pb2 as pb

__all__ = ["field", "flag", "parameter_values", "plain", "read_document", "set_parameters", "text"]

T = TypeVar("T")

_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def read_document(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds; an empty body is an empty one.

    Raises:
        InvalidArgument: it is none.
    """
    if not body:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"the body is {_shown(document)}; expected a JSON object")
    return document


def flag(document: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    """A field that is true or false, or the default where it is absent.

    Raises:
        InvalidArgument: it is neither.
    """
    return field(document, name, bool, where, default)


def field(document: Mapping[str, Any], name: str, kind: type[T], where: str, default: T) -> T:
    """A field of a document, or the default where it is absent.

    Raises:
        InvalidArgument: it is of another kind.
    """
    value = document.get(name, default)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InvalidArgument(f"{where}{name} is {_shown(value)}; expected {_NAMES[kind]}")
    if isinstance(value, str):
        text(value, where + name)
    return value


def text(value: str, where: str) -> str:
    """The text, if there are bytes for it.

    Raises:
        InvalidArgument: it holds half of a surrogate pair.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{where} holds half of a surrogate pair: {error}") from error
    return value


def set_parameters(
    target: Any, parameters: Mapping[str, Any], where: str, skip: frozenset[str] = frozenset()
) -> None:
    """Write parameters into a message's map.

    Raises:
        InvalidArgument: a value that no parameter can hold.
    """
    for name, value in parameters.items():
        if name in skip:
            continue
        text(name, where)
        place = f"{where}.{name}"
        match value:
            case bool():
                target[name].bool_param = value
            case str():
                target[name].string_param = text(value, place)
            case float():
                target[name].double_param = value
            case int() if -(2**63) <= value < 2**63:
                target[name].int64_param = value
            case _:
                raise InvalidArgument(
                    f"{place} is {_shown(value)}; expected true or false, a number or text"
                )


def parameter_values(
    parameters: Mapping[str, pb.InferParameter],
) -> dict[str, bool | int | float | str]:
    """Parameters of an answer as JSON."""
    kinds = {name: parameters[name].WhichOneof("parameter_choice") for name in parameters}
    return {name: getattr(parameters[name], kind) for name, kind in kinds.items() if kind}


def plain(message: Message) -> dict[str, Any]:
    """A message as Triton writes it: names as in the proto, whole numbers as numbers, zeros too."""
    found: dict[str, Any] = {}
    for each in message.DESCRIPTOR.fields:
        if each.has_presence and not message.HasField(each.name):
            continue
        value = getattr(message, each.name)
        if each.message_type is not None and each.message_type.GetOptions().map_entry:
            values = each.message_type.fields_by_name["value"]
            found[each.name] = {key: _plain(values, value[key]) for key in sorted(value)}
        elif each.is_repeated:
            found[each.name] = [_plain(each, item) for item in value]
        else:
            found[each.name] = _plain(each, value)
    return found


def _plain(described: Any, value: Any) -> Any:
    if described.message_type is not None:
        return plain(value)
    if described.enum_type is not None:
        return described.enum_type.values_by_number[value].name
    return value


def _shown(value: object) -> str:
    kinds = {list: "a list", dict: "an object", type(None): "null"}
    shown = kinds.get(type(value)) or json.dumps(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
