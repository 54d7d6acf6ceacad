"""The table of depths and widths beside BaseCNN's, out of the figures that their runs wrote."""

from __future__ import annotations

from pathlib import Path

from zoo.families.cifar import PREFIX, STUDIES
from zoo.figures import FILE, read_figures


def study_table(cards: Path) -> str:
    """Return the table as Markdown; a network whose run has not ended yet says so.

    Args:
        cards: where the cards and their figures lie, a folder each.
    """
    lines = [
        "| network | parameters | training error | test error | CPU time |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(_row(title, f"{PREFIX}{name}", cards) for name, (title, _) in STUDIES.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(title: str, name: str, cards: Path) -> str:
    if not (cards / name / FILE).exists():
        return f"| {title} | | | not trained yet | |"
    figures = read_figures(cards / name)
    trained = "" if figures.trained is None else _error(figures.trained)
    cells = [
        f"[{title}](../models/zoo/cards/{name}/CARD.md)",
        f"{figures.parameters:,}",
        trained,
        _error(figures.scores[0]),
        f"{figures.seconds / 60:.0f} min",
    ]
    return f"| {' | '.join(cells)} |"


def _error(accuracy: float) -> str:
    return f"{100 * (1 - accuracy):.2f} %"
