"""What a load test asks: models and methods with their shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from candor.cli.exits import UsageError

__all__ = ["PREDICT", "Ask", "draw", "parse_mix"]

PREDICT = "predict"


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of request.

    Attributes:
        model: its name.
        method: `predict`, or methods of explanation joined by `+`.
        weight: its share of the requests, beside the other weights.
    """

    model: str
    method: str
    weight: float

    @property
    def name(self) -> str:
        """As it stands on the command line and in the report."""
        return f"{self.model}:{self.method}"

    @property
    def methods(self) -> str:
        """As the client takes them; empty for a prediction."""
        return "" if self.method == PREDICT else self.method.replace("+", ",")


def parse_mix(words: Sequence[str]) -> tuple[Ask, ...]:
    """Read `MODEL[:METHOD[+METHOD]][=WEIGHT]` words.

    Raises:
        UsageError: a word of another form, a weight that is not positive, or the same kind twice.
    """
    asks = tuple(map(_ask, words))
    names = [ask.name for ask in asks]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{twice[0]} stands twice in the mix; give it one weight")
    return asks


def draw(asks: Sequence[Ask], rng: np.random.Generator) -> int:
    """The index of the kind that comes next, drawn by weight."""
    weights = np.array([ask.weight for ask in asks])
    return int(rng.choice(len(asks), p=weights / weights.sum()))


def _ask(word: str) -> Ask:
    kind, has_weight, weight = word.partition("=")
    model, has_method, method = kind.partition(":")
    if not model or (has_method and not all(method.split("+"))):
        raise UsageError(f"'{word}' is no kind of request; it has the form MODEL:METHOD=WEIGHT")
    try:
        share = float(weight) if has_weight else 1.0
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise UsageError(f"the weight in '{word}' is not a positive number")
    return Ask(model, method or PREDICT, share)
