"""What one option takes, as data, and the options that several methods share."""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BASELINE",
    "CHANNELS",
    "REDUCTION",
    "SEED",
    "Channels",
    "OptionKind",
    "Reduction",
    "Spec",
]

Channels = Literal["sum", "keep"]
Reduction = Literal["abs", "signed", "squared"]
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


CHANNELS = Spec(
    "choice",
    "sum over channels to one value per position, or keep one per channel of it",
    choices=("sum", "keep"),
)
REDUCTION = Spec(
    "choice",
    "what each partial derivative becomes before channels are summed",
    choices=("abs", "signed", "squared"),
)
SEED = Spec(
    "integer",
    "of the draws; -1 draws afresh, and the answer names the seed",
    low=-1,
    high=2**32 - 1,
)
BASELINE = Spec(
    "number",
    "what stands for 'absent', in the model's input space (tokens: a token id); default: 0, or the "
    "padding token",
    low=-1e6,
    high=1e6,
)
