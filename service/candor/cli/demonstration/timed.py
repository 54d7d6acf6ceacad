"""One explanation asked twice: how long it takes to make, and to be remembered."""

from dataclasses import dataclass
from time import perf_counter
from typing import Unpack

from candor.cli.progress import progress_bars
from candor.client import Answer, Asking, Client, Explanation
from candor.errors import InternalError

__all__ = ["Timed", "ask_twice"]


@dataclass(frozen=True, slots=True)
class Timed:
    """An explanation by one method, and the time of both calls as the caller sees it.

    Attributes:
        first_s, second_s: seconds; the second answer came from the cache.
    """

    method: str
    explanation: Explanation
    first_s: float
    second_s: float

    @property
    def answers(self) -> tuple[Answer, ...]:
        """One for each target."""
        return self.explanation.answers


def ask_twice(client: Client, model: str, method: str, **asking: Unpack[Asking]) -> Timed:
    """Explain one row, with progress shown, and ask the same again; no pictures are drawn.

    Raises:
        InternalError: the second answer did not come from the cache, or is another one.
    """
    began = perf_counter()
    with progress_bars() as show:
        first = client.explain(model, [method], on_progress=show, **asking)
    between = perf_counter()
    second = client.explain(model, [method], **asking)
    ended = perf_counter()
    for one, two in zip(first.answers, second.answers, strict=True):
        if two.cache != "hit" or two.values.tobytes() != one.values.tobytes():
            raise InternalError(f"{method} was asked twice, and the second answer was not cached")
    return Timed(method, first, between - began, ended - between)
