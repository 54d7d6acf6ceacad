"""What readers of all formats share: which rows, and a row that cannot be read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Broken", "Format", "Pick", "Span"]

# From the columns that a table has to those that are read of it.
Pick: TypeAlias = "Callable[[list[str]], tuple[str, ...]]"


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of an input that follow one another.

    Attributes:
        first: number of the first, from 0.
        n_rows: how many.
        offset: byte at which the first begins, in formats of lines.
        names: of pictures, below their folder.
    """

    first: int
    n_rows: int
    offset: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be read, and why; it does not end the job."""

    why: str


class Format(NamedTuple):
    """How tables of one format are cut and read, a row at a time.

    Attributes:
        columns: their names, where the file says them; None where each row has its own.
        spans: cuts a file into spans of so many rows.
        records: reads the rows of a span, or those there are where it is longer than the file: a
            mapping from column to value, the value itself where rows have no columns, or `Broken`.
    """

    columns: Callable[[Path], list[str] | None]
    spans: Callable[[Path, int], Iterator[Span]]
    records: Callable[[Path, Span, Pick], Iterator[Any]]
