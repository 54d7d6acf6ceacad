"""What a model's inputs and outputs look like, and the check of a request's tensors against it.

Invariant: what `check_tensors` returns can be handed to ONNX Runtime as it is; nothing is cast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np

from candor.errors import InvalidInput, InvalidModel
from candor.result import Array

__all__ = [
    "DTYPES",
    "TensorSpec",
    "check_tensors",
    "datatype_of",
    "spec_from_runtime",
]


_KINDS: Final = 4096
"""Of requests that are known to fit."""

Shape: TypeAlias = tuple[int, ...]


class Dtype(NamedTuple):
    """One element type under its four names."""

    datatype: str
    numpy: np.dtype[Any]
    runtime: str
    onnx: int


def _table() -> Mapping[str, Dtype]:
    # datatype of the Open Inference Protocol, numpy, onnxruntime, onnx.TensorProto.DataType
    rows: tuple[tuple[str, Any, str, int], ...] = (
        ("FP32", np.float32, "float", 1),
        ("UINT8", np.uint8, "uint8", 2),
        ("INT8", np.int8, "int8", 3),
        ("UINT16", np.uint16, "uint16", 4),
        ("INT16", np.int16, "int16", 5),
        ("INT32", np.int32, "int32", 6),
        ("INT64", np.int64, "int64", 7),
        ("BYTES", np.object_, "string", 8),
        ("BOOL", np.bool_, "bool", 9),
        ("FP16", np.float16, "float16", 10),
        ("FP64", np.float64, "double", 11),
        ("UINT32", np.uint32, "uint32", 12),
        ("UINT64", np.uint64, "uint64", 13),
        ("BF16", ml_dtypes.bfloat16, "bfloat16", 16),
    )
    return MappingProxyType(
        {
            name: Dtype(name, np.dtype(kind), f"tensor({runtime})", number)
            for name, kind, runtime, number in rows
        }
    )


DTYPES = _table()
"""Element types by the name that the Open Inference Protocol gives them."""

_BY_NUMPY = {row.numpy: row.datatype for row in DTYPES.values()}
_BY_RUNTIME = {row.runtime: row.datatype for row in DTYPES.values()}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: as in the graph.
        datatype: as the Open Inference Protocol spells it (`FP32`, `INT64`, ...).
        shape: sizes, -1 where the size is free; () for a scalar.
        symbols: for each axis the name that the graph gives its free size, else "".
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    symbols: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of an element."""
        return DTYPES[self.datatype].numpy

    @property
    def spelled(self) -> str:
        """For a message: `FP32[-1,3,224,224]`."""
        return _spell(self.datatype, self.shape)


def datatype_of(dtype: np.dtype[Any]) -> str:
    """Name an element type; "" where the protocol has no name for it."""
    return "BYTES" if dtype.kind in "SU" else _BY_NUMPY.get(dtype, "")


def spec_from_runtime(name: str, runtime_type: str, shape: Sequence[Any]) -> TensorSpec:
    """Build a spec from what ONNX Runtime says of an input or output.

    Raises:
        InvalidModel: the value is a sequence, a map or of an element type without a name.
    """
    datatype = _BY_RUNTIME.get(runtime_type)
    if datatype is None:
        raise InvalidModel(
            f"'{name}' is a {runtime_type}, which cannot be sent; "
            f"tensors of {', '.join(sorted(DTYPES))} can"
        )
    return TensorSpec(
        name=name,
        datatype=datatype,
        shape=tuple(size if isinstance(size, int) and size >= 0 else -1 for size in shape),
        symbols=tuple(size if isinstance(size, str) else "" for size in shape),
    )


def check_tensors(specs: Sequence[TensorSpec], tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Check a request's tensors against the model's inputs.

    Returns the same arrays, made contiguous where they were not, and bytes as text, in the order of
    `specs`.

    Raises:
        InvalidInput: a name is unknown or missing, an element type or a size is not the model's, or
            inputs that share an axis (their rows, or a size that the graph names) disagree on it;
            or a text is not UTF-8.
    """
    sent = tuple([_Sent(name, array.dtype, array.shape) for name, array in tensors.items()])
    _check_sent(tuple(specs), sent)
    return {spec.name: _runnable(spec, tensors[spec.name]) for spec in specs}


class _Sent(NamedTuple):
    """What is looked at of an array: its elements are not."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape


# Requests come in few kinds: of one that has fitted once, the next need not be looked at.
@lru_cache(_KINDS)
def _check_sent(specs: tuple[TensorSpec, ...], sent: tuple[_Sent, ...]) -> None:
    by_name = {tensor.name: tensor for tensor in sent}
    _check_names(specs, by_name)
    for spec in specs:
        _check_dtype(spec, by_name[spec.name])
        _check_shape(spec, by_name[spec.name])
    _check_shared_axes(specs, by_name)


def _runnable(spec: TensorSpec, array: Array) -> Array:
    return _contiguous(_texts(spec, array) if spec.datatype == "BYTES" else array)


def _texts(spec: TensorSpec, array: Array) -> Array:
    """Bytes as text: of an object that is no text, ONNX Runtime takes what Python prints of it."""
    texts = np.empty(array.size, dtype=np.object_)
    for position, element in enumerate(array.reshape(-1).tolist()):
        try:
            texts[position] = element.decode() if isinstance(element, bytes) else element
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"input '{spec.name}': element {position} is not UTF-8: {error}"
            ) from error
    return texts.reshape(array.shape)


def _contiguous(array: Array) -> Array:
    # np.ascontiguousarray would turn a scalar into a vector
    return array if array.flags.c_contiguous else array.copy()


def _check_names(specs: Sequence[TensorSpec], tensors: Mapping[str, _Sent]) -> None:
    names = [spec.name for spec in specs]
    known = ", ".join(f"'{spec.name}' {spec.spelled}" for spec in specs)
    for name in tensors:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            raise InvalidInput(f"there is no input '{name}'{hint} The model takes {known}")
    if missing := [name for name in names if name not in tensors]:
        raise InvalidInput(f"input '{missing[0]}' is missing. The model takes {known}")


def _check_dtype(spec: TensorSpec, tensor: _Sent) -> None:
    if tensor.dtype == spec.dtype or (spec.datatype == "BYTES" and tensor.dtype.kind in "SU"):
        return
    sent = datatype_of(tensor.dtype) or f"numpy {tensor.dtype}"
    raise InvalidInput(
        f"input '{spec.name}' was sent as {_spell(sent, tensor.shape)}, the model takes "
        f"{spec.spelled}; values are never cast silently"
    )


def _check_shape(spec: TensorSpec, tensor: _Sent) -> None:
    expected, shape = spec.shape, tensor.shape
    fits = len(expected) == len(shape) and all(
        size in (-1, actual) for size, actual in zip(expected, shape, strict=True)
    )
    if fits:
        return
    sent = _spell(spec.datatype, shape)
    if len(expected) != len(shape):
        wrong = f"it has {len(shape)} axes, not {len(expected)}"
    else:
        axis = next(i for i, size in enumerate(expected) if size not in (-1, shape[i]))
        wrong = f"axis {axis} must be {expected[axis]}, not {shape[axis]}"
    raise InvalidInput(
        f"input '{spec.name}' was sent as {sent}, the model takes {spec.spelled}: {wrong}"
    )


def _check_shared_axes(specs: Sequence[TensorSpec], tensors: Mapping[str, _Sent]) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for spec in specs:
        for axis, size in enumerate(tensors[spec.name].shape):
            shared = _shared_axis(spec, axis)
            if not shared:
                continue
            other, first = seen.setdefault(shared, (spec.name, size))
            if first != size:
                what = "rows" if axis == 0 else f"on its axis {axis} ('{shared}')"
                raise InvalidInput(
                    f"input '{spec.name}' has {size} {what} where input '{other}' has {first}"
                )


def _shared_axis(spec: TensorSpec, axis: int) -> str:
    """Name what an axis counts, or "" where it stands alone."""
    if spec.shape[axis] != -1:
        return ""
    symbol = spec.symbols[axis] if spec.symbols else ""
    # exporters leave the batch axis nameless at times; it still counts the rows of every input
    return symbol or ("rows" if axis == 0 else "")


def _spell(datatype: str, shape: Sequence[int]) -> str:
    return f"{datatype}[{','.join(map(str, shape))}]"
