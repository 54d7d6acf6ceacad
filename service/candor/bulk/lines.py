"""JSONL and CSV: a row is found again by the byte at which it begins."""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from candor.bulk.spans import Broken, Format, Pick, Span
from candor.errors import InvalidInput

__all__ = ["CSV", "JSONL"]

# More than a server takes in one message; a quote that is never closed must not take all memory.
_MAX_FIELD: Final = 64 * 2**20
_BOM: Final = b"\xef\xbb\xbf"


class _Lines:
    """Lines of a file as text, and the byte behind the last one that was given out."""

    def __init__(self, file: IO[bytes], offset: int) -> None:
        file.seek(offset)
        self._file = file
        self.offset = offset

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        began = self.offset
        self.offset += len(line)
        # What is no UTF-8 is found out where the row is read, not here.
        return (line if began else line.removeprefix(_BOM)).decode(errors="surrogateescape")


def _spans(path: Path, n_rows: int, *, header: bool) -> Iterator[Span]:
    with path.open("rb") as file:
        lines = _Lines(file, 0)
        rows = _cells(lines, path) if header else _documents(lines)
        if header:
            next(rows, None)
        first, offset = 0, lines.offset
        while True:
            count = sum(1 for _ in islice(rows, n_rows))
            if not count:
                return
            yield Span(first, count, offset)
            first, offset = first + count, lines.offset


# JSONL ----------------------------------------------------------------------------------------


def _documents(lines: _Lines) -> Iterator[str]:
    return (line for line in lines if line.strip())


def _json_records(path: Path, span: Span, pick: Pick) -> Iterator[Any]:
    del pick  # each line has its own columns
    with path.open("rb") as file:
        for line in islice(_documents(_Lines(file, span.offset)), span.n_rows):
            try:
                # Bytes that are no UTF-8 do not survive this.
                yield json.loads(line.encode())
            except (ValueError, RecursionError) as error:
                yield Broken(f"this line is no JSON: {error}")


JSONL = Format(
    columns=lambda _: None,
    spans=lambda path, n_rows: _spans(path, n_rows, header=False),
    records=_json_records,
)


# CSV ------------------------------------------------------------------------------------------


def _cells(lines: _Lines, path: Path) -> Iterator[list[str]]:
    """Rows of cells; a quoted cell may go over several lines, and empty lines are no rows."""
    csv.field_size_limit(_MAX_FIELD)
    try:
        yield from filter(None, csv.reader(lines))
    except csv.Error as error:
        raise InvalidInput(f"{path}, about byte {lines.offset}, is no CSV: {error}") from error


def _csv_columns(path: Path) -> list[str]:
    with path.open("rb") as file:
        names = next(_cells(_Lines(file, 0), path), [])
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidInput(f"column '{twice[0]}' stands twice in the first line of {path}")
    return names


def _csv_records(path: Path, span: Span, pick: Pick) -> Iterator[Any]:
    names = _csv_columns(path)
    picked = pick(names)
    with path.open("rb") as file:
        for cells in islice(_cells(_Lines(file, span.offset), path), span.n_rows):
            if len(cells) != len(names):
                yield Broken(f"this row has {len(cells)} cells; the first line has {len(names)}")
                continue
            record = dict(zip(names, cells, strict=True))
            yield _readable({name: record[name] for name in picked})


def _readable(record: dict[str, str]) -> dict[str, str] | Broken:
    for name, cell in record.items():
        try:
            cell.encode()
        except UnicodeEncodeError:
            return Broken(f"column '{name}' is not UTF-8")
    return record


CSV = Format(
    columns=_csv_columns,
    spans=lambda path, n_rows: _spans(path, n_rows, header=True),
    records=_csv_records,
)
