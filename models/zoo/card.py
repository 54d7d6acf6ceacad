"""CARD.md: what a model is, what it was made from and what was measured, written by its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.figures import Figures, rows_of, write_figures


@dataclass(frozen=True, slots=True)
class Card:
    """What there is to say of a model beside its figures; lines of Markdown."""

    title: str
    purpose: str
    data: Sequence[str]
    licence: str
    recipe: Sequence[str]
    limits: Sequence[str]
    command: str


def write_card(folder: Path, card: Card, figures: Figures) -> None:
    """Write the card as Markdown, and its figures beside it for programs."""
    table = "\n".join(f"| {name} | {value} |" for name, value in rows_of(figures))
    write_figures(folder, figures)
    (folder / "CARD.md").write_text(
        f"# {card.title}\n\n{card.purpose}\n\n"
        f"## Measured\n\n| | |\n| --- | --- |\n{table}\n\n"
        f"## Data\n\n{_bullets(card.data)}\n\n"
        f"## Licence\n\n{card.licence}\n\n"
        f"## Recipe\n\n{_bullets(card.recipe)}\n\n"
        f"## Limits\n\n{_bullets(card.limits)}\n\n"
        f"## Again\n\n```sh\n{card.command}\n```\n",
        encoding="utf-8",
    )


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
