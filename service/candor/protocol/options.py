"""`candor.v1.Method` to a method's name and flat options, and back.

The names come from the message itself: a field is an option, an enum's value is its word in lower
case without the prefix. Only LIME's baseline, a word or a number, is a oneof and spelled out here.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from candor.errors import InvalidOption
from candor.v1 import method_pb2 as pb

__all__ = ["METHOD_NAMES", "Flat", "Value", "from_method", "to_method"]

Value: TypeAlias = str | int | float | bool
Flat: TypeAlias = dict[str, Value]

METHOD_NAMES: tuple[str, ...] = tuple(
    field.name for field in pb.Method.DESCRIPTOR.oneofs_by_name["options"].fields
)

_ONEOFS = {"baseline_fill": "baseline", "baseline_value": "baseline"}
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def from_method(method: pb.Method) -> tuple[str, Flat]:
    """Name and options of a method; what was not set is not in them.

    Raises:
        InvalidOption: no method is set, or an enum has a number without a name.
    """
    name = method.WhichOneof("options")
    if name is None:
        raise InvalidOption(f"a method is empty; set one of {', '.join(METHOD_NAMES)}")
    options: Message = getattr(method, name)
    flat: Flat = {}
    for field, value in options.ListFields():
        read = _flat(field, value, f"{name}.{field.name}")
        if read != "":
            flat[_ONEOFS.get(field.name, field.name)] = read
    return name, flat


def to_method(name: str, options: Mapping[str, Any]) -> pb.Method:
    """Build a method from its name and flat options; what is not given takes the default.

    Raises:
        InvalidOption: an unknown method or option, or a value of the wrong type.
    """
    if name not in METHOD_NAMES:
        raise InvalidOption(f"unknown method '{name}'; there are {', '.join(METHOD_NAMES)}")
    method = pb.Method()
    message = cast("Message", getattr(method, name))
    message.SetInParent()
    for option, value in options.items():
        field = _field(message, option, value)
        if field is None:
            known = ", ".join(_known(message))
            raise InvalidOption(f"{name} has no option '{option}'; there are {known}")
        try:
            _set(message, field, value)
        except (TypeError, ValueError) as error:
            raise InvalidOption(f"{name}.{option} cannot be {value!r}: {error}") from error
    return method


def _flat(field: FieldDescriptor, value: Any, what: str) -> Value:
    if field.is_repeated:
        return ",".join(map(str, value))
    return _word(field.enum_type, value, what) if field.enum_type is not None else value


def _known(message: Message) -> list[str]:
    names = (field.name for field in message.DESCRIPTOR.fields)
    return list(dict.fromkeys(_ONEOFS.get(name, name) for name in names))


def _field(message: Message, option: str, value: Any) -> FieldDescriptor | None:
    fields: Mapping[str, Any] = message.DESCRIPTOR.fields_by_name
    if option == "baseline" and "baseline_fill" in fields:
        word = isinstance(value, str) and value.replace("_", "").isalpha()
        option = "baseline_fill" if word else "baseline_value"
        return cast("FieldDescriptor", fields[option])
    found: FieldDescriptor | None = None if option in _ONEOFS else fields.get(option)
    return found


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        parts = value.split(",") if isinstance(value, str) else value
        values = parts if isinstance(parts, list | tuple) else [parts]
        getattr(message, field.name).extend(_read(field, part) for part in values)
    elif field.enum_type is not None:
        setattr(message, field.name, _number(field.enum_type, value))
    else:
        setattr(message, field.name, _read(field, value))


def _read(field: FieldDescriptor, value: Any) -> Any:
    """A number or flag that may have been written as text, as on a command line."""
    if not isinstance(value, str) or field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return value
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if value not in _FLAGS:
            raise ValueError("expected true or false")
        return _FLAGS[value]
    return float(value) if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE else int(value)


def _prefix(enum: EnumDescriptor) -> str:
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def _word(enum: EnumDescriptor, number: int, what: str) -> str:
    if number == 0:
        return ""
    value = enum.values_by_number.get(number)
    if value is None:
        raise InvalidOption(f"{what} is {number}, which is no value of {enum.full_name}")
    return value.name.removeprefix(_prefix(enum)).lower()


def _number(enum: EnumDescriptor, word: Any) -> int:
    value = enum.values_by_name.get(f"{_prefix(enum)}{word}".upper())
    if value is None or value.number == 0:
        words = [_word(enum, number, enum.name) for number in enum.values_by_number if number]
        raise ValueError(f"expected one of {', '.join(words)}")
    return value.number
