"""model.toml: what the service has to know about a model beyond its graph."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

Value = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]
Table = Mapping[str, Value]


def write_manifest(path: Path, top: Table, tables: Mapping[str, Table]) -> None:
    """Write the top-level keys, then each table, in the order given."""
    parts = [_lines(top)]
    parts += [f"[{name}]\n{_lines(table)}" for name, table in tables.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")


def _lines(table: Table) -> str:
    return "".join(f"{key} = {_literal(value)}\n" for key, value in table.items())


def _literal(value: Value) -> str:
    """Return TOML; a list of more than six strings goes one a line, numbers fill theirs."""
    if isinstance(value, str):
        # A literal string keeps a regular expression readable; ''' covers its single quotes.
        if "\\" in value:
            return f"'''{value}'''"
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    items = [_literal(item) for item in value]
    if len(items) > 6 and not isinstance(value[0], str):
        filled = textwrap.fill(
            ", ".join(items), 96, initial_indent="    ", subsequent_indent="    "
        )
        return f"[\n{filled},\n]"
    if len(items) > 6:
        return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return f"[{', '.join(items)}]"
