"""Room for bulk requests: so many at a time, and in a full house less for whoever has much."""

import asyncio
from collections.abc import Callable
from threading import Lock
from types import TracebackType

from candor.engine.share import NOBODY, Share
from candor.engine.shedding import Shedding
from candor.engine.turns import Turns
from candor.errors import CandorError, Overloaded

__all__ = ["Place", "Places"]


class Place:
    """The place of one bulk request; a context manager around all that the request does.

    Until a slice of it has run, it may be `lost` to a caller who has less: what the block awaits is
    cancelled then, and the block ends with the error that says why.
    """

    def __init__(self, model: str, share: Share, leave: Callable[["Place"], None]) -> None:
        self.model = model
        self.path = (model, share.caller, share.connection)
        self.priority = share.priority
        self.begun = False
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._cancelled_before = self._task.cancelling() if self._task else 0
        self._error: CandorError | None = None
        self._over = False

    def lose(self, error: CandorError) -> None:
        """Give the place to somebody else; from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._cancel, error)
        except RuntimeError:
            return  # the loop is closed, and nobody there asks any more

    def _cancel(self, error: CandorError) -> None:
        if not self._over and self._task is not None:
            self._error = error
            self._task.cancel()

    def __enter__(self) -> "Place":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over = True
        self._leave(self)
        if self._error is not None and self._task is not None:
            ours = self._task.uncancel() <= self._cancelled_before
            if ours and isinstance(error, asyncio.CancelledError):
                raise self._error from error


class Places:
    """Who is in. What touches the waiting ones holds the workers' lock."""

    def __init__(self, limit: int, lock: Lock, shedding: Shedding) -> None:
        self._limit = limit
        self._lock = lock
        self._shedding = shedding
        self._inside: set[Place] = set()
        self._waiting: Turns[Place] = Turns()

    def __len__(self) -> int:
        return len(self._inside)

    def has_room(self, model: str, share: Share) -> bool:
        """Whether one would be let in now."""
        path = (model, share.caller, share.connection)
        with self._lock:
            return len(self._inside) < self._limit or self._waiting.rival(path) is not None

    def full(self, model: str) -> Overloaded:
        """What one is told who is not let in."""
        with self._lock:
            return self._shedding.queue_full("bulk", model, len(self._inside))

    def enter(self, model: str, share: Share = NOBODY) -> Place:
        """Let one in; in a full house in the place of one whose caller has more that wait.

        Raises:
            Overloaded: no place is left, and nobody who waits has more than the caller; or, out of
                the block, a caller who has less has come.
        """
        place = Place(model, share, self._leave)
        with self._lock:
            n_inside = len(self._inside)
            if n_inside >= self._limit:
                rival = self._waiting.rival(place.path)
                if rival is None:
                    raise self._shedding.queue_full("bulk", model, n_inside)
                self._remove(rival)
                rival.lose(self._shedding.crowded_out("bulk", rival.model, n_inside))
            self._inside.add(place)
            self._waiting.put(place)
        return place

    def begin(self, place: Place) -> None:
        """A slice of this one runs: from now on the place is its own. With the lock held."""
        if place in self._inside and not place.begun:
            place.begun = True
            self._waiting.remove(place)

    def _remove(self, place: Place) -> None:
        self.begin(place)
        self._inside.discard(place)

    def _leave(self, place: Place) -> None:
        with self._lock:
            self._remove(place)
