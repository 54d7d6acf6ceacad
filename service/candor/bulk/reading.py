"""Rows of chunks, read as they are needed, and put together for calls of a few rows each."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from candor.bulk.chunks import Chunk
from candor.bulk.formats import FORMATS
from candor.bulk.pictures import read_pictures
from candor.bulk.rows import Layout, Payload
from candor.bulk.spans import Broken
from candor.errors import InvalidInput

__all__ = ["Batch", "Row", "batches_of"]

# Half of what the service takes in one message as it is delivered.
_BATCH_BYTES: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the inputs.

    Attributes:
        id: what the column of ids says; of a picture its path below the folder; else None.
        path: the file that it came from, absolute.
        number: of the row in that file, from 0.
        payload: for the model; None where there is none.
        error: why there is none, else "".
    """

    id: str | None
    path: str
    number: int
    payload: Payload | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one chunk that follow one another and can be asked in one call.

    Attributes:
        chunk: whose they are.
        rows: in order; those with an error are not asked.
        last: whether they end the chunk.
    """

    chunk: Chunk
    rows: tuple[Row, ...]
    last: bool


def batches_of(chunks: Iterable[Chunk], layout: Layout, n_rows: int) -> Iterator[Batch]:
    """Read chunks, one batch after the other.

    Args:
        chunks: in the order in which they are to be read.
        layout: of the model's rows.
        n_rows: in a batch, at most.

    Raises:
        InvalidInput: a file is not what it was when it was cut.
    """
    reader = _Reader(layout)
    for chunk in chunks:
        rows = reader.rows(chunk)
        gathered: list[Row] = []
        n_read = 0
        for n_read, row in enumerate(rows, 1):  # noqa: B007 - counted for what comes after
            if gathered and (len(gathered) == n_rows or not _together(gathered, row)):
                yield Batch(chunk, tuple(gathered), last=False)
                gathered = []
            gathered.append(row)
        if n_read != chunk.span.n_rows:
            raise InvalidInput(
                f"{chunk.path} has changed: {chunk.span.n_rows} rows were found from row "
                f"{chunk.span.first} on, and {n_read} are there now"
            )
        yield Batch(chunk, tuple(gathered), last=True)


class _Reader:
    """Reads chunks; goes on in a table where the chunk before ended, without a search."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._open: tuple[Path, int, Iterator[Any]] = (Path(), 0, iter(()))

    def rows(self, chunk: Chunk) -> Iterator[Row]:
        """The rows of a chunk."""
        return self._of_table(chunk) if chunk.suffix else self._of_pictures(chunk)

    def _of_pictures(self, chunk: Chunk) -> Iterator[Row]:
        for (file, found), name in zip(
            read_pictures(chunk.path, chunk.span), chunk.span.names, strict=True
        ):
            shown = file.name if file == chunk.path else name
            yield _row(shown, str(file), 0, found)

    def _of_table(self, chunk: Chunk) -> Iterator[Row]:
        span, folder = chunk.span, chunk.path.parent
        path, at, records = self._open
        if (path, at) != (chunk.path, span.first):
            to_the_end = replace(span, n_rows=sys.maxsize)
            records = FORMATS[chunk.suffix].records(chunk.path, to_the_end, self._pick)
        self._open = (chunk.path, span.first + span.n_rows, records)
        for number, record in enumerate(islice(records, span.n_rows), span.first):
            found = (
                record if isinstance(record, Broken) else self._layout.payload_of(record, folder)
            )
            yield _row(self._id(record), str(chunk.path), number, found)

    def _pick(self, names: list[str]) -> tuple[str, ...]:
        picked = self._layout.columns_of(names, "the table")
        return picked if self._layout.id in ("", *picked) else (*picked, self._layout.id)

    def _id(self, record: Any) -> str | None:
        value = record.get(self._layout.id) if isinstance(record, dict) else None
        return None if value is None else str(value)


def _row(name: str | None, path: str, number: int, found: Payload | Broken) -> Row:
    if isinstance(found, Broken):
        return Row(name, path, number, None, found.why)
    return Row(name, path, number, found)


def _together(gathered: list[Row], row: Row) -> bool:
    """Whether a row can go with those gathered: of one kind and shape, and not too much."""
    asked = [one.payload for one in gathered if one.payload is not None]
    if row.payload is None or not asked:
        return True
    size = sum(map(_n_bytes, asked)) + _n_bytes(row.payload)
    return _shape(asked[0]) == _shape(row.payload) and size <= _BATCH_BYTES


def _shape(payload: Payload) -> object:
    if isinstance(payload, dict):
        return {name: array.shape for name, array in payload.items()}
    return type(payload)


def _n_bytes(payload: Payload) -> int:
    if isinstance(payload, dict):
        return sum(array.nbytes for array in payload.values())
    return len(payload)
