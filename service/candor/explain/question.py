"""What an explainer is asked, and how a long one reports on its way."""

from collections.abc import Callable
from dataclasses import dataclass, field

from candor.result import Array, Attribution, Explained, Target, TrustLevel

__all__ = ["Progress", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """One row, one target.

    Attributes:
        x: the row as a batch of one, [1, ...], in the model's input space.
        target: the class or difference to explain; top class by default.
        explained: score or probability; None leaves it to the method.
        segments: the caller's own grouping of positions (int, position-shaped), or None.
        trust: whether the answer is to be examined (`explain.examine`).
    """

    x: Array
    target: Target = field(default_factory=Target)
    explained: Explained | None = None
    segments: Array | None = None
    trust: TrustLevel = "basic"


@dataclass(frozen=True, slots=True)
class Progress:
    """Yielded by a bulk explainer between two slices of work.

    Attributes:
        done, total: model evaluations (total may change: samples that are the
            same are run once, and a tolerance decides how many there are).
        best: builds the attribution from what is known so far; None while nothing is.
    """

    done: int
    total: int
    best: Callable[[], Attribution] | None = None
