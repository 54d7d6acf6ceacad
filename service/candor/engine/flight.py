"""Single flight: equal questions asked at the same time are computed once.

A flight computes a set of keys together. Everyone who wants one of them takes a seat; the flight is
cancelled when the last seat is left. Its failure reaches every seat, that of one key only the seats
of that key. Lives on one event loop.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from candor.errors import Cancelled, InternalError

__all__ = ["Flights", "Seat"]

V = TypeVar("V")
N = TypeVar("N")
Compute: TypeAlias = Callable[[], Coroutine[Any, Any, Mapping[str, V | Exception]]]


class _Flight(Generic[V, N]):
    """One computation under way, with a future for each key and a count of those who wait."""

    def __init__(self, keys: Sequence[str], note: N) -> None:
        loop = asyncio.get_running_loop()
        self.note = note
        self.futures: dict[str, asyncio.Future[V]] = {key: loop.create_future() for key in keys}
        self.seated = 0
        self.task: asyncio.Task[None] | None = None

    def land(self, values: Mapping[str, V | Exception]) -> None:
        for key, future in self.futures.items():
            value = values.get(key, InternalError(f"the computation left out {key}"))
            if isinstance(value, Exception):
                future.set_exception(value)
                future.exception()  # seen: that nobody sits there any more is no news
            else:
                future.set_result(value)


class Seat(Generic[V, N]):
    """A place on a flight; `with seat:` gives it back, however the block ends.

    Attributes:
        landing: the answer, to wait for but not to cancel: it is everybody's.
        note: what the leader of the flight published for everyone aboard.
        joined: whether somebody else had started the flight.
    """

    def __init__(
        self,
        landing: "asyncio.Future[V]",
        note: N,
        leave: Callable[[], None],
        *,
        joined: bool,
    ) -> None:
        self._leave: Callable[[], None] | None = leave
        self.landing = landing
        self.note = note
        self.joined = joined

    def __enter__(self) -> "Seat[V, N]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    async def result(self) -> V:
        """Wait for the answer; the computation outlives the cancellation of this wait."""
        return await asyncio.shield(self.landing)

    def leave(self) -> None:
        """Give the place back (once); the last to leave cancels what is not done."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class Flights(Generic[V, N]):
    """The flights under way, by key."""

    def __init__(self) -> None:
        self._by_key: dict[str, _Flight[V, N]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def join(self, key: str) -> Seat[V, N] | None:
        """A seat on the flight that computes this key, if there is one."""
        flight = self._by_key.get(key)
        return None if flight is None else self._seat(flight, key, joined=True)

    def launch(self, keys: Sequence[str], compute: Compute[V], note: N) -> dict[str, Seat[V, N]]:
        """Start a flight; a seat for each of its keys.

        Args:
            keys: at least one; none of them in flight already (see `join`).
            compute: gives the value, or the failure, of every key.
            note: shared with everyone who joins.
        """
        if not keys or any(key in self._by_key for key in keys):
            raise ValueError(f"keys {list(keys)}: none at all, or some in flight already")
        flight: _Flight[V, N] = _Flight(keys, note)
        self._by_key.update(dict.fromkeys(keys, flight))
        seats = {key: self._seat(flight, key, joined=False) for key in keys}
        flight.task = asyncio.create_task(self._fly(flight, compute), name="candor-flight")
        return seats

    def _seat(self, flight: _Flight[V, N], key: str, *, joined: bool) -> Seat[V, N]:
        flight.seated += 1
        return Seat(flight.futures[key], flight.note, partial(self._leave, flight), joined=joined)

    def _leave(self, flight: _Flight[V, N]) -> None:
        flight.seated -= 1
        if flight.seated == 0 and flight.task is not None and not flight.task.done():
            self._remove(flight)  # at once: nobody may join what is about to be cancelled
            flight.task.cancel()

    async def _fly(self, flight: _Flight[V, N], compute: Compute[V]) -> None:
        try:
            values = await compute()
        except asyncio.CancelledError:
            # By those who stop the loop: those who sit here did not ask for it.
            self._remove(flight)
            error = Cancelled("the computation was cancelled")
            flight.land(dict.fromkeys(flight.futures, error))
            raise
        except Exception as error:  # noqa: BLE001 - it is delivered to everyone aboard
            values = dict.fromkeys(flight.futures, error)
        self._remove(flight)
        flight.land(values)

    def _remove(self, flight: _Flight[V, N]) -> None:
        for key in flight.futures:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
