"""Write the tables of the documentation from the code: `python scripts/tables.py [--check]`.

A page holds `<!-- table: NAME -->` and, further down, `<!-- end -->`; what stands between them is
replaced. `--check` compares and writes nothing.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from candor.cli import COMMANDS, parser_of
from candor.cli.exits import EXITS
from candor.errors import CandorError
from candor.metrics import Metrics
from candor.protocol.options import METHOD_NAMES
from candor.settings import SETTINGS
from candor.v1.method_pb2 import DESCRIPTOR
from candor.wire.status import STATUS

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Write the pages, or with --check say which are out of date."""
    parser = argparse.ArgumentParser(description="Write the documentation's tables.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    stale = 0
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], old)
        if new == old:
            continue
        stale += 1
        if check:
            print(f"out of date: {page.relative_to(ROOT)}; run: make generate", file=sys.stderr)
        else:
            page.write_text(new, encoding="utf-8")
    return 1 if check and stale else 0


def settings() -> str:
    """Every setting."""
    rows = [
        (f"`{row.flag}`", f"`{row.variable}`", _value(row.default), row.unit, row.help)
        for row in SETTINGS
    ]
    return _table(("flag", "variable", "default", "unit", "meaning"), rows)


def options() -> str:
    """Every method with its options, in the words of the protocol."""
    comments = _proto_comments(ROOT / "protos/candor/v1/method.proto")
    parts = []
    for method in METHOD_NAMES:
        message = method.title().replace("_", "")
        text, fields = comments[message]
        note = text.partition(". ")[2]
        what = comments["Method"][1][method]
        parts.append(f"### `{method}`\n\n{what}{' ' + note if note else ''}\n\n")
        rows = [
            (f"`{_option(name)}`", help_ + _words(message, name)) for name, help_ in fields.items()
        ]
        parts.append(_table(("option", "meaning (default)"), _merged(rows)))
        parts.append("\n")
    return "".join(parts)


def errors() -> str:
    """Every error with its status codes."""
    rows = [
        (f"`{kind.__name__}`", f"`{STATUS[kind.kind].code.name}`", str(STATUS[kind.kind].http),
         (kind.__doc__ or "").splitlines()[0])
        for kind in _descendants(CandorError)
    ]  # fmt: skip
    return _table(("error", "gRPC", "HTTP", "when"), rows)


def metrics() -> str:
    """Every metric family."""
    registry = CollectorRegistry()
    Metrics(registry).redis_up(up=True)
    rows = []
    for collector in registry._collector_to_names:
        family = next(iter(collector.describe()))
        suffix = "_total" if family.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        rows.append((f"`{family.name}{suffix}`", family.type, labels, family.documentation))
    return _table(("metric", "type", "labels", "meaning"), rows)


def commands() -> str:
    """Every command with its examples."""
    parts = [_table(("command", "what"), [(f"`candor {c}`", what) for c, what in COMMANDS.items()])]
    for name in COMMANDS:
        epilog = parser_of(name).epilog or ""
        lines = [line.strip() for line in epilog.splitlines()[1:] if line.strip()]
        parts.append(f"\n### `candor {name}`\n\n```sh\n" + "\n".join(lines) + "\n```\n")
    return "".join(parts)


def exits() -> str:
    """Every exit code."""
    return _table(("exit code", "meaning"), [(str(row.code), row.meaning) for row in EXITS])


TABLES: dict[str, Callable[[], str]] = {
    table.__name__: table for table in (settings, options, errors, metrics, commands, exits)
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _value(default: str) -> str:
    return f"`{default}`" if default else ""


def _option(field: str) -> str:
    """LIME's baseline is a word or a number, which takes two fields of the message."""
    return "baseline" if field.startswith("baseline_") else field


def _words(message: str, field: str) -> str:
    """The words that an enum takes, its default first."""
    enum = DESCRIPTOR.message_types_by_name[message].fields_by_name[field].enum_type
    if enum is None:
        return ""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    words = [value.name.removeprefix(prefix).lower() for value in enum.values[1:]]
    return " " + ", ".join(f"`{word}`" for word in words) + "."


def _merged(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    by_name: dict[str, str] = {}
    for name, text in rows:
        by_name[name] = f"{by_name[name]} Or: {text}" if name in by_name else text
    return list(by_name.items())


def _descendants(kind: type[CandorError]) -> Iterator[type[CandorError]]:
    for child in kind.__subclasses__():
        if child.__module__ == CandorError.__module__:
            yield child
            yield from _descendants(child)


def _proto_comments(file: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """The comment of each message, and of each of its fields, of a proto file in plain style."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    comment: list[str] = []
    fields: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
            continue
        if opened := re.fullmatch(r"message (\w+) \{(?:\})?", text):
            fields = {}
            found[opened[1]] = (" ".join(comment), fields)
        elif field := re.fullmatch(r"(?:optional |repeated )?\w+ (\w+) = \d+;", text):
            fields[field[1]] = " ".join(comment)
        comment = []
    return found


if __name__ == "__main__":
    sys.exit(main())
