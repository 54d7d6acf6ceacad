"""Tables of a page."""

from collections.abc import Iterable

__all__ = ["table"]


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a table as Markdown, a line for each row."""
    names = list(headings)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
