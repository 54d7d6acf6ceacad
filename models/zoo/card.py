"""CARD.md: what a model is, what it was made from and what was measured, written by its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HARDWARE = "2-core CPU, one thread"


@dataclass(frozen=True, slots=True)
class Card:
    """The facts of one training run; `rows` is the table of measurements."""

    title: str
    purpose: str
    data: Sequence[str]
    licence: str
    recipe: Sequence[str]
    rows: Sequence[tuple[str, str]]
    limits: Sequence[str]
    command: str


def write_card(path: Path, card: Card) -> None:
    """Write the card as Markdown."""
    table = "\n".join(f"| {name} | {value} |" for name, value in card.rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
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


def percent(share: float) -> str:
    """Return a share as "68.32 %"."""
    return f"{100 * share:.2f} %"
