"""What may be kept in memory: let go of least recently used first, and made again on demand.

Invariants: nothing that is in use is let go; what several ask for at once is made once; what was
used last stays, though it be larger than the budget by itself. Sizes are estimates
(`runtime.footprint`); they are added up anew whenever they matter, so that none is ever left over.
"""

from collections.abc import Callable
from itertools import count
from threading import Lock
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar
from weakref import WeakSet

__all__ = ["Budget", "Part", "Resident"]

T = TypeVar("T")


class Part(NamedTuple):
    """A thing that is kept in memory, as log and metrics call it.

    `program` is what is run: `predict` for the model itself, with its weights as they were read.
    """

    model: str
    program: str


OnUnload: TypeAlias = Callable[[Part, int], None]
"""Told what was let go of, and its bytes."""


class Budget:
    """What all models share; safe to use from any thread."""

    def __init__(self, limit_bytes: int = 0, on_unload: OnUnload = lambda *_: None) -> None:
        """Begin with nothing.

        Args:
            limit_bytes: how much may be kept; 0: any amount.
            on_unload: told of each thing after it was let go of, with no lock held.
        """
        self._limit = limit_bytes
        self._on_unload = on_unload
        self._lock = Lock()
        self._clock = count(1)
        self._over = False
        # Weakly: the parts of a model that is served no more go with it.
        self._residents: WeakSet[Resident[Any]] = WeakSet()

    @property
    def size_bytes(self) -> int:
        """What is kept at the moment."""
        with self._lock:
            return self._sum()

    def join(self, resident: "Resident[Any]") -> None:
        """Count a resident from now on, for as long as anybody holds it."""
        with self._lock:
            self._residents.add(resident)

    def enter(self, resident: "Resident[Any]") -> None:
        """Keep a resident, whatever happens, until it is left as often as it was entered."""
        with self._lock:
            resident.users += 1
            resident.used_at = next(self._clock)

    def leave(self, resident: "Resident[Any]") -> None:
        """Use it no more."""
        with self._lock:
            resident.users -= 1
            over = self._over
        if over:  # while it was in use, it could not be let go of
            self.settle(resident)

    def settle(self, last: "Resident[Any]", more_bytes: int = 0) -> None:
        """Let go of what is too much, programs of explanations before models.

        Args:
            last: what was used last, which stays.
            more_bytes: that are about to be added.
        """
        gone: list[tuple[Part, int, object]] = []
        with self._lock:
            if not self._limit:
                return
            excess = self._sum() + more_bytes - self._limit
            if excess > 0:
                idle = (r for r in self._residents if r.value is not None and not r.users)
                for resident in sorted(idle, key=lambda r: (r.goes_last, r.used_at)):
                    if excess > 0 and resident is not last:
                        excess -= resident.size_bytes
                        gone.append((resident.part, resident.size_bytes, resident.value))
                        resident.value = None
            self._over = excess > 0
        while gone:  # a session takes its time to end: here, where nobody waits for the lock
            part, size, value = gone.pop()
            del value
            self._on_unload(part, size)

    def _sum(self) -> int:
        return sum(r.size_bytes for r in self._residents if r.value is not None)


class Resident(Generic[T]):
    """Something that can be made again; in memory while it is in use, as a context manager.

    Attributes:
        part: what it is.
        goes_last: whether everything that does not is let go of before it.
        value: None where it is not in memory.
        size_bytes: of the value; where there is none, of the last.
        users: how many are in the block at the moment.
        used_at: when it was entered last, on the budget's own clock.
    """

    def __init__(
        self,
        budget: Budget,
        part: Part,
        make: Callable[[], tuple[T, int]],
        *,
        goes_last: bool = False,
    ) -> None:
        """Make nothing yet.

        Args:
            budget: that it counts to.
            part: what it is.
            make: gives it and its bytes; called by whoever needs it, one at a time.
            goes_last: whether everything that does not is let go of before it.
        """
        self.part = part
        self.goes_last = goes_last
        self.value: T | None = None
        self.size_bytes = 0
        self.users = 0
        self.used_at = 0
        self._budget = budget
        self._make = make
        self._making = Lock()
        budget.join(self)

    def __enter__(self) -> T:
        self._budget.enter(self)
        try:
            # Once it is entered, what is there stays there.
            found = self.value
            return self._made() if found is None else found
        except BaseException:
            self._budget.leave(self)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._budget.leave(self)

    def grown(self, size_bytes: int) -> None:
        """Say that it takes more than before; called while it is in use."""
        if size_bytes > self.size_bytes:
            self.size_bytes = size_bytes
            self._budget.settle(self)

    def _made(self) -> T:
        with self._making:
            if self.value is not None:  # by another thread, while this one waited
                return self.value
            self._budget.settle(self, self.size_bytes)
            value, self.size_bytes = self._make()
            self.value = value
        self._budget.settle(self)
        return value
