"""From a row of a table to a row of the model's: a picture, a text, or tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from candor.bulk.spans import Broken
from candor.client import ModelInfo
from candor.errors import InvalidInput
from candor.result import Array

__all__ = ["Layout", "Payload", "layout_of"]

# A picture's file, a text, or an array for each input; all of one row.
Payload: TypeAlias = bytes | str | dict[str, Array]

_NUMPY = MappingProxyType(
    {f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)}
    | {f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}
    | {f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)}
    | {"BF16": "float32", "BOOL": "bool"}
)
# What a model takes beside its own tensors, and the column in which it is looked for.
_COLUMNS = MappingProxyType({"image": "image", "tokens": "text"})


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows of tables become rows of a model.

    Attributes:
        takes: `image` or `text`, which the service prepares; "" where it takes tensors only.
        inputs: name, datatype and shape of the model's own inputs, -1 where any length goes.
        columns: that were named; () for the columns that `columns_of` looks for.
        id: the column whose value tells rows apart; "" where there is none.
    """

    takes: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    columns: tuple[str, ...] = ()
    id: str = ""

    def columns_of(self, names: Sequence[str], where: str) -> tuple[str, ...]:
        """The columns of a table that a row is made of, in the order in which it takes them.

        The named ones; else the column `image` or `text`; else one for each input of the model;
        else all but the id, as the features of a record.

        Raises:
            InvalidInput: one of them is not there.
        """
        own = tuple(name for name, _, _ in self.inputs)
        missing = [name for name in (*self.columns, self.id) if name and name not in names]
        if missing:
            raise InvalidInput(f"there is no column '{missing[0]}' in {where}; {_listed(names)}")
        if self.columns:
            return self.columns
        if self.takes and self.takes in names:
            return (self.takes,)
        if set(own) <= set(names):
            return own
        if self.takes or len(own) > 1:
            wanted = f"'{self.takes}'" if self.takes else f"one of {', '.join(own)}"
            raise InvalidInput(
                f"there is no column {wanted} in {where}; {_listed(names)}: say which by --columns"
            )
        return tuple(name for name in names if name != self.id)

    def payload_of(self, record: Any, folder: Path) -> Payload | Broken:
        """A row as the model takes it, or why it cannot be made.

        Args:
            record: a mapping from column to value, or the value itself.
            folder: of the table; paths of pictures in it begin there.
        """
        try:
            if not isinstance(record, Mapping):
                return self._single(record, folder)
            columns = self.columns_of(list(record), "this row")
            if len(columns) == 1:
                return self._single(record[columns[0]], folder)
            if len(self.inputs) > 1:
                return {spec[0]: _tensor(record[spec[0]], spec) for spec in self.inputs}
            features = [_number(record[name], name) for name in columns]
            return {self.inputs[0][0]: _tensor(features, self.inputs[0])}
        except InvalidInput as error:
            return Broken(error.message)

    def _single(self, value: Any, folder: Path) -> Payload:
        if isinstance(value, Mapping) and {"bytes", "path"} & set(value):
            # Pictures as the `datasets` package writes them.
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value
        if isinstance(value, str):
            if self.takes == "image":
                return _file(folder / value)
            if self.takes == "text":
                return value
        if value is None or isinstance(value, str | Mapping):
            raise InvalidInput(f"{_short(value)} is no {self.takes or 'array of numbers'}")
        if len(self.inputs) > 1:
            names = ", ".join(name for name, _, _ in self.inputs)
            raise InvalidInput(f"one array is given, but the model has the inputs {names}")
        return {self.inputs[0][0]: _tensor(value, self.inputs[0])}


def layout_of(model: ModelInfo, columns: Sequence[str], id_column: str) -> Layout:
    """The layout of the rows of a model.

    Args:
        model: which.
        columns: that were named, or none.
        id_column: "" for none.
    """
    takes = _COLUMNS.get(model.kind, "") if model.preprocessing else ""
    return Layout(takes, model.inputs, tuple(columns), id_column)


def _tensor(value: Any, spec: tuple[str, str, tuple[int, ...]]) -> Array:
    """One row of an input; a flat one is given the input's axes where they are known."""
    name, datatype, (_, *shape) = spec
    try:
        array = np.asarray(value, _NUMPY.get(datatype))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"{_short(value)} is no row of input '{name}': {error}") from error
    if array.ndim == 1 and len(shape) > 1 and shape.count(-1) <= 1:
        try:
            array = array.reshape(shape)
        except ValueError as error:
            raise InvalidInput(
                f"{array.size} numbers do not fill a row of input '{name}', {shape}"
            ) from error
    return array


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"column '{name}' is {_short(value)}; expected a number") from error


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:20]))
    return f"there are {shown}{', ...' if len(names) > 20 else ''}" if names else "it has none"
