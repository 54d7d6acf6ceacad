"""`candor.v1.Tensor` to numpy and back.

Invariant: an array that leaves here has exactly the elements that its shape announces; numbers are
read-only views of the message's bytes.
"""

import math
import struct
from collections.abc import Iterable, Iterator
from types import MappingProxyType

import numpy as np

from candor.errors import InvalidInput
from candor.result import Array
from candor.v1 import tensor_pb2 as pb

__all__ = [
    "from_tensor",
    "join_elements",
    "shape_of",
    "split_elements",
    "to_tensor",
    "view",
    "write_tensor",
]

_NUMPY = MappingProxyType(
    {
        pb.DATA_TYPE_BOOL: "bool",
        pb.DATA_TYPE_INT8: "int8",
        pb.DATA_TYPE_INT16: "<i2",
        pb.DATA_TYPE_INT32: "<i4",
        pb.DATA_TYPE_INT64: "<i8",
        pb.DATA_TYPE_UINT8: "uint8",
        pb.DATA_TYPE_UINT16: "<u2",
        pb.DATA_TYPE_UINT32: "<u4",
        pb.DATA_TYPE_UINT64: "<u8",
        pb.DATA_TYPE_FLOAT16: "<f2",
        # numpy knows this name once ml_dtypes is imported, as the server does; a client need not.
        pb.DATA_TYPE_BFLOAT16: "bfloat16",
        pb.DATA_TYPE_FLOAT32: "<f4",
        pb.DATA_TYPE_FLOAT64: "<f8",
    }
)
_DATA_TYPE = MappingProxyType(
    {
        (name if name == "bfloat16" else np.dtype(name).name): number
        for number, name in _NUMPY.items()
    }
)
# By the type itself, whose name takes longer to look up than the rest of a small tensor to write.
_LITTLE_ENDIAN = MappingProxyType(
    {np.dtype(name): number for number, name in _NUMPY.items() if name != "bfloat16"}
)
_LENGTH = struct.Struct("<I")
# numpy's own bound on the number of axes, and one for each of them that keeps products in range.
_MAX_AXES = 32
_MAX_AXIS = 2**31 - 1


def from_tensor(tensor: pb.Tensor, what: str) -> Array:
    """Read a tensor; `what` names it in messages.

    Returns:
        A read-only view of the message's bytes; object array of bytes for DATA_TYPE_STRING.

    Raises:
        InvalidInput: no data type, an impossible shape, or too few or too many bytes.
    """
    shape = shape_of(tensor.shape, what)
    data = tensor.data
    if tensor.data_type == pb.DATA_TYPE_STRING:
        return split_elements(data, shape, what)
    name = _NUMPY.get(tensor.data_type)
    if name is None:
        known = ", ".join(pb.DataType.Name(number) for number in _NUMPY)
        raise InvalidInput(f"{what} has no known data_type ({tensor.data_type}); there are {known}")
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise InvalidInput(f"{what} is bfloat16; install ml_dtypes to read it") from error
    return view(data, dtype, shape, what)


def to_tensor(array: Array) -> pb.Tensor:
    """An array as a message: `write_tensor` to a new one."""
    tensor = pb.Tensor()
    write_tensor(array, tensor)
    return tensor


def write_tensor(array: Array, tensor: pb.Tensor) -> None:
    """Write an array to an empty message; its elements are copied once.

    Raises:
        InvalidInput: an element type that no tensor can hold (complex, dates, ...).
    """
    own = _LITTLE_ENDIAN.get(array.dtype)
    if own is not None:
        data, data_type = array.tobytes(), own
    elif array.dtype.kind in "OSU":
        elements = (_as_bytes(element) for element in array.reshape(-1))
        data, data_type = join_elements(elements), pb.DATA_TYPE_STRING
    else:
        known = _DATA_TYPE.get(array.dtype.name)
        if known is None:
            types = ", ".join(_DATA_TYPE)
            raise InvalidInput(f"an array of {array.dtype} cannot be sent; {types} and text can")
        data, data_type = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(), known
    tensor.shape.extend(array.shape)
    tensor.data_type = data_type
    tensor.data = data


def shape_of(axes: Iterable[int], what: str) -> tuple[int, ...]:
    """Check the axes of a shape that came over the wire.

    Raises:
        InvalidInput: a negative or absurdly long axis, or too many of them.
    """
    shape = tuple(axes)
    if len(shape) > _MAX_AXES:
        raise InvalidInput(f"{what} has {len(shape)} axes; at most {_MAX_AXES} are possible")
    for length in shape:
        if not 0 <= length <= _MAX_AXIS:
            raise InvalidInput(
                f"{what} has shape {list(shape)}; an axis is between 0 and {_MAX_AXIS} long"
            )
    return shape


def view(data: bytes, dtype: np.dtype[np.generic], shape: tuple[int, ...], what: str) -> Array:
    """Look at bytes as an array, without a copy.

    Raises:
        InvalidInput: the bytes are not as many as the shape needs, or not 0 and 1 for bool.
    """
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise InvalidInput(
            f"{what} has {len(data)} bytes; {dtype.name} of shape {list(shape)} takes {expected}"
        )
    if dtype.kind == "b" and data.strip(b"\x00\x01"):
        _refuse_odd_bools(data, what)
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:
        # A shape with a zero in it holds nothing, yet numpy multiplies the rest.
        raise InvalidInput(f"{what} has shape {list(shape)}, which is too large") from error


def split_elements(data: bytes, shape: tuple[int, ...], what: str) -> Array:
    """Cut length-prefixed elements apart; object array of bytes.

    Raises:
        InvalidInput: a length that points beyond the end, or another number of elements.
    """
    expected = math.prod(shape)
    elements = list(_cut(data, what, expected))
    if len(elements) != expected:
        raise InvalidInput(
            f"{what} holds {len(elements)} elements; shape {list(shape)} takes {expected}"
        )
    array = np.empty(expected, dtype=np.object_)
    array[:] = elements
    return array.reshape(shape)


def join_elements(elements: Iterable[bytes]) -> bytes:
    """Write elements one after the other, each behind its length."""
    return b"".join(part for item in elements for part in (_LENGTH.pack(len(item)), item))


def _cut(data: bytes, what: str, expected: int) -> Iterator[bytes]:
    at = count = 0
    while at < len(data):
        start = at + _LENGTH.size
        length = _LENGTH.unpack_from(data, at)[0] if start <= len(data) else 0
        if start + length > len(data):
            raise InvalidInput(
                f"{what}: element {count} is cut short at byte {at} of {len(data)}; each element "
                "is a 4-byte little-endian length and that many bytes"
            )
        if count == expected:
            raise InvalidInput(f"{what} holds more than the {expected} elements of its shape")
        yield data[start : start + length]
        at, count = start + length, count + 1


def _refuse_odd_bools(data: bytes, what: str) -> None:
    odd = int(np.flatnonzero(np.frombuffer(data, np.uint8) > 1)[0])
    raise InvalidInput(f"{what}: element {odd} of bool is {data[odd]}, expected 0 or 1")


def _as_bytes(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode()
    raise InvalidInput(f"an element of type {type(element).__name__} cannot be sent; text can")
