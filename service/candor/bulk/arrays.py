"""Parquet and .npy: rows are found again by their number."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from candor.bulk.spans import Format, Pick, Span
from candor.errors import InvalidInput
from candor.result import Array

__all__ = ["NPY", "PARQUET"]

# Rows that are decoded at a time; pictures and series are large.
_BATCH: Final = 64


def _even_spans(total: int, n_rows: int) -> Iterator[Span]:
    for first in range(0, total, n_rows):
        yield Span(first, min(n_rows, total - first))


# Parquet --------------------------------------------------------------------------------------


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{path} is no Parquet file: {error}") from error


def _parquet_columns(path: Path) -> list[str]:
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def _parquet_spans(path: Path, n_rows: int) -> Iterator[Span]:
    with _opened(path) as file:
        yield from _even_spans(file.metadata.num_rows, n_rows)


def _parquet_records(path: Path, span: Span, pick: Pick) -> Iterator[Any]:
    with _opened(path) as file:
        picked = pick(list(file.schema_arrow.names))
        groups, skipped = _groups_from(file, span.first)
        batches = file.iter_batches(_BATCH, row_groups=groups, columns=list(picked))
        try:
            yield from islice(_rows(batches, picked, skipped), span.n_rows)
        except pa.ArrowException as error:
            raise InvalidInput(f"{path} cannot be read on: {error}") from error


def _groups_from(file: pq.ParquetFile, first: int) -> tuple[list[int], int]:
    """The row groups from the one that holds a row, and how many rows of it come before."""
    before = 0
    for group in range(file.num_row_groups):
        n_rows = file.metadata.row_group(group).num_rows
        if before + n_rows > first:
            return list(range(group, file.num_row_groups)), first - before
        before += n_rows
    raise InvalidInput(f"row {first} is behind the last row, {before - 1}")


def _rows(
    batches: Iterator[pa.RecordBatch], picked: Sequence[str], skipped: int
) -> Iterator[dict[str, Any]]:
    for batch in batches:
        if skipped >= batch.num_rows:
            skipped -= batch.num_rows
            continue
        columns = [batch.column(name) for name in picked]
        for index in range(skipped, batch.num_rows):
            yield {
                name: _value(column[index]) for name, column in zip(picked, columns, strict=True)
            }
        skipped = 0


def _value(scalar: Any) -> Any:
    """As Python has it, but lists of numbers as arrays."""
    values = getattr(scalar, "values", None)
    if isinstance(values, pa.Array) and (
        pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    ):
        return values.to_numpy(zero_copy_only=False)
    return scalar.as_py()


PARQUET = Format(columns=_parquet_columns, spans=_parquet_spans, records=_parquet_records)


# .npy -----------------------------------------------------------------------------------------


def _mapped(path: Path) -> Array:
    """The array, in the file and not in memory."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"{path} is no .npy file that can be mapped: {error}") from error
    if not isinstance(loaded, np.ndarray) or not loaded.ndim:
        raise InvalidInput(f"{path} holds no rows; save one array with an axis of rows")
    return loaded


def _npy_records(path: Path, span: Span, pick: Pick) -> Iterator[Any]:
    del pick  # there are no columns
    rows = _mapped(path)
    for number in range(span.first, min(span.first + span.n_rows, len(rows))):
        yield np.array(rows[number])


NPY = Format(
    columns=lambda _: None,
    spans=lambda path, n_rows: _even_spans(len(_mapped(path)), n_rows),
    records=_npy_records,
)
