"""What one option takes, as data."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["OptionKind", "Spec"]

OptionKind = Literal["integer", "number", "flag", "choice", "name", "integers", "choice or number"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What an option takes.

    Attributes:
        kind: which parser reads it (`explain.parse`).
        help: one line for people.
        low, high: inclusive range of a number (of each number, for `integers`); None is unbounded.
        choices: the words that a choice takes.
        unit: of a number; "" where it has none.
    """

    kind: OptionKind
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
