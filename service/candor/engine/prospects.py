"""In a full house: whether a long explanation is looked up in the cache before it is refused.

Looking costs several times what refusing does: reading the rows, their digests, the way to Redis.
Under overload with inputs that nobody has asked about before, that time is taken from those who are
inside; where inputs repeat, it answers callers who need no place. Which of the two it is, the
requests of the last moments tell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from candor.engine.places import Places
from candor.engine.share import Share
from candor.errors import Overloaded

__all__ = ["Prospects"]

_WORTH: Final = 0.1
"""Share of answers from which all are looked up: looking costs several times a refusal, and an
explanation a hundred times."""
_WEIGHT: Final = 1 / 16
_EVERY: Final = 16
"""Where it is not worth it, one in so many is looked up all the same, to learn of a change."""


class Prospects:
    """What came of those who were let in to look; used on the event loop."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._answered = 1.0
        self._passed_by = 0

    @contextmanager
    def let_in(self, model: str, share: Share) -> Iterator[None]:
        """Have a long explanation in the house while the block runs.

        Raises:
            Overloaded: there is no place for it, and little hope that it needs none.
        """
        if self._places.has_room(model, share):
            yield
            return
        if not self._worth_looking():
            raise self._places.full(model)
        try:
            yield
        except Overloaded:
            self._learn(0.0)
            raise
        self._learn(1.0)

    def _worth_looking(self) -> bool:
        if self._answered >= _WORTH:
            return True
        self._passed_by = (self._passed_by + 1) % _EVERY
        return self._passed_by == 0

    def _learn(self, answered: float) -> None:
        self._answered += _WEIGHT * (answered - self._answered)
