"""The table of depths and widths beside BaseCNN's, out of the cards that their runs wrote."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.table import TABLE

PREFIX = "cifar10-study-"
_FIGURES = {
    what: re.compile(pattern, re.MULTILINE)
    for what, pattern in (
        ("parameters", r"^\| parameters \| ([\d,]+) \|$"),
        ("training", r"^\| accuracy, [\d,]+ training rows[^|]*\| ([\d.]+) % \|$"),
        ("test", r"^\| accuracy, test split \| ([\d.]+) % \|$"),
        ("seconds", r"^\| training \| (\d+) s "),
    )
}


def study_table(cards: Path) -> str:
    """Return the table as Markdown; a network whose run has not ended yet says so.

    Args:
        cards: where the cards lie, a folder each.
    """
    names = [name for name in TABLE if name.startswith(PREFIX)]
    lines = [
        "| network | parameters | training error | test error | CPU time |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_row(name, cards / name / "CARD.md") for name in names),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, card: Path) -> str:
    title = TABLE[name].title
    network = title[title.index("(") + 1 : -1]
    if not card.exists():
        return f"| {network} | | | not trained yet | |"
    text = card.read_text(encoding="utf-8")
    found = {what: match[1] for what, p in _FIGURES.items() if (match := p.search(text))}
    training, test = (f"{100 - float(found[split]):.2f} %" for split in ("training", "test"))
    minutes = f"{int(found['seconds']) / 60:.0f} min"
    link = f"[{network}](../models/zoo/cards/{name}/CARD.md)"
    return f"| {link} | {found['parameters']} | {training} | {test} | {minutes} |"
