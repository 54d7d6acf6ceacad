"""Inputs cut into chunks: the same chunks in the same order whenever the inputs are the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from candor.bulk.formats import FORMATS, Format, Span
from candor.bulk.pictures import PICTURES, picture_files, picture_spans
from candor.bulk.rows import Layout
from candor.errors import InvalidInput

__all__ = ["Chunk", "Survey", "Surveyed", "chunks_of", "survey"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that follow one another in one input, and become one part.

    Attributes:
        number: of the part, from 0, over all inputs.
        path: the file of a table; the folder of pictures.
        suffix: of the table's format; "" for pictures.
        span: which rows.
    """

    number: int
    path: Path
    suffix: str
    span: Span


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One input as it was found.

    Attributes:
        path: absolute.
        files, bytes, rows: how much it holds.
        fingerprint: of the names, sizes and times of change of its files.
    """

    path: str
    files: int
    bytes: int
    rows: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Survey:
    """All inputs, counted without a row being kept."""

    inputs: tuple[Surveyed, ...]
    n_rows: int
    n_parts: int


def chunks_of(inputs: Sequence[Path], part_rows: int) -> Iterator[Chunk]:
    """Cut inputs into chunks, in the order of the inputs.

    Args:
        inputs: folders of pictures, pictures, tables.
        part_rows: rows of a chunk; the last one of an input may have fewer.

    Raises:
        InvalidInput: a file that is neither picture nor table, or a table that is broken.
    """
    number = 0
    for path in map(Path.absolute, inputs):
        table = _table(path)
        spans = table.spans(path, part_rows) if table else picture_spans(path, part_rows)
        for span in spans:
            yield Chunk(number, path, path.suffix.lower() if table else "", span)
            number += 1


def survey(inputs: Sequence[Path], part_rows: int, layout: Layout) -> Survey:
    """Count the rows of all inputs, take their fingerprints, and check the columns of tables.

    Raises:
        InvalidInput: as `chunks_of`; an input without a row, or a table without a column of those
            that the model's rows are made of.
    """
    found = [_surveyed(path.absolute(), part_rows, layout) for path in inputs]
    return Survey(
        tuple(one for one, _ in found),
        sum(one.rows for one, _ in found),
        sum(parts for _, parts in found),
    )


def _surveyed(path: Path, part_rows: int, layout: Layout) -> tuple[Surveyed, int]:
    table = _table(path)
    names = table.columns(path) if table else None
    if names is not None:
        layout.columns_of(names, str(path))
    rows = parts = 0
    for chunk in chunks_of([path], part_rows):
        rows, parts = rows + chunk.span.n_rows, parts + 1
    if not rows:
        what = "row" if table else "picture (.jpg, .png, .webp)"
        raise InvalidInput(f"there is no {what} in {path}")
    digest, files, size = blake2b(digest_size=16), 0, 0
    for file in [path] if table else picture_files(path):
        n_bytes, changed_ns = _stat(file)
        digest.update(f"{file}\0{n_bytes}\0{changed_ns}\0".encode(errors="surrogateescape"))
        files, size = files + 1, size + n_bytes
    return Surveyed(str(path), files, size, rows, digest.hexdigest()), parts


def _stat(file: Path) -> tuple[int, int]:
    """Size and time of change; of a link to nowhere, which is a row with an error, nothing."""
    try:
        stat = file.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _table(path: Path) -> Format | None:
    """The format of a table; None of pictures.

    Raises:
        InvalidInput: there is no such file, or it is neither.
    """
    if path.is_dir() or (path.is_file() and path.suffix.lower() in PICTURES):
        return None
    if not path.is_file():
        raise InvalidInput(f"there is no file or folder {path}")
    table = FORMATS.get(path.suffix.lower())
    if table is None:
        raise InvalidInput(
            f"{path} is neither a picture ({' '.join(sorted(PICTURES))}) nor a table "
            f"({' '.join(sorted(FORMATS))}), nor a folder of pictures"
        )
    return table
